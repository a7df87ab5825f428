import { requiredBucket, type Operation } from '../operation.ts';

/** Returns an empty configuration, like S3 for a bucket whose versioning was never enabled. */
export const getBucketVersioning: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  storage.bucket(requiredBucket(request));
  return { status: 200, body: { root: 'VersioningConfiguration', content: {} } };
};
