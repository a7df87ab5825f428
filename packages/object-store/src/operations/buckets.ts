import { S3Error } from '../errors.ts';
import { parseXml } from '../xml.ts';
import { requiredBucket, requiredBucketName, type Operation } from './operation.ts';
import { checkAcl } from './properties.ts';

export const listBuckets: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const buckets = storage.buckets().map((bucket) => ({
    Name: bucket.name,
    CreationDate: new Date(bucket.createdAtMs).toISOString(),
  }));
  return {
    status: 200,
    body: {
      root: 'ListAllMyBucketsResult',
      content: { Owner: { ID: ownerId }, Buckets: { Bucket: buckets } },
    },
  };
};

export const createBucket: Operation = async (request, { storage, region }) => {
  const name = requiredBucketName(request);
  checkAcl(request.headers);
  const text = await request.body.text();
  if (text !== '') checkBucketConfiguration(text, region);
  await storage.createBucket(name);
  return { status: 200, headers: { location: `/${name}` } };
};

/** Allows only what every bucket of this store has: its region. */
function checkBucketConfiguration(text: string, region: string): void {
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

export const headBucket: Operation = async (request, context) => {
  await request.body.expectEmpty();
  requiredBucket(request, context);
  return { status: 200, headers: { 'x-amz-bucket-region': context.region } };
};

export const getBucketLocation: Operation = async (request, context) => {
  await request.body.expectEmpty();
  requiredBucket(request, context);
  // us-east-1 has no location constraint: S3 returns an empty element.
  const content = context.region === 'us-east-1' ? '' : context.region;
  return { status: 200, body: { root: 'LocationConstraint', content } };
};

/** Returns an empty configuration, like S3 for a bucket whose versioning was never enabled. */
export const getBucketVersioning: Operation = async (request, context) => {
  await request.body.expectEmpty();
  requiredBucket(request, context);
  return { status: 200, body: { root: 'VersioningConfiguration', content: {} } };
};

export const deleteBucket: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  await storage.deleteBucket(requiredBucketName(request));
  return { status: 204 };
};
