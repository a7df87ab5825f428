import { requiredBucket, type Operation } from '../operation.ts';

export const headBucket: Operation = async (request, { storage, region }) => {
  await request.body.expectEmpty();
  storage.bucket(requiredBucket(request));
  return { status: 200, headers: { 'x-amz-bucket-region': region } };
};
