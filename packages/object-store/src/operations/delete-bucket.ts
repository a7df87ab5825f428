import { requiredBucket, type Operation } from '../operation.ts';

export const deleteBucket: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  await storage.deleteBucket(requiredBucket(request));
  return { status: 204 };
};
