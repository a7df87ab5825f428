import { S3Error } from '../errors.ts';
import { requiredBucket, type Operation } from '../operation.ts';
import { checkAcl } from '../request/properties.ts';
import { parseXml } from '../xml.ts';

export const createBucket: Operation = async (request, { storage, region }) => {
  const name = requiredBucket(request);
  checkAcl(request.headers);
  const text = await request.body.text();
  if (text !== '') {
    const configuration = parseXml(text, 'CreateBucketConfiguration');
    const unknown = configuration.names().find((element) => element !== 'LocationConstraint');
    if (unknown !== undefined) {
      throw new S3Error(
        'NotImplemented',
        `<${unknown}> in CreateBucketConfiguration is not implemented by this store.`,
      );
    }
    const location = configuration.text('LocationConstraint');
    if (location !== undefined && location !== region) {
      throw new S3Error('InvalidLocationConstraint', `This store is in region ${region} only.`, {
        LocationConstraint: location,
      });
    }
  }
  await storage.createBucket(name);
  return { status: 200, headers: { location: `/${name}` } };
};
