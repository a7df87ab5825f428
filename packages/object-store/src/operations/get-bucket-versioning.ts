import { requiredBucket, type Operation } from '../operation.ts';

/** The truthful answer of a bucket whose versioning was never switched on: nothing is said. */
export const getBucketVersioning: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  storage.bucket(requiredBucket(request));
  return { status: 200, body: { root: 'VersioningConfiguration', content: {} } };
};
