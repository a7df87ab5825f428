import { requiredBucket, type Operation } from '../operation.ts';

export const getBucketLocation: Operation = async (request, { storage, region }) => {
  await request.body.expectEmpty();
  storage.bucket(requiredBucket(request));
  // us-east-1 has no location constraint: S3 returns an empty element.
  return {
    status: 200,
    body: { root: 'LocationConstraint', content: region === 'us-east-1' ? '' : region },
  };
};
