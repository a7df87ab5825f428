import { requiredBucket, requiredKey, type Operation } from '../operation.ts';

export const deleteObject: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  await storage.bucket(requiredBucket(request)).delete(requiredKey(request));
  return { status: 204 };
};
