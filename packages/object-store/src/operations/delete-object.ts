import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requestedWriteCondition } from '../request/conditions.ts';

export const deleteObject: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  const bucket = storage.bucket(requiredBucket(request));
  await bucket.delete(requiredKey(request), requestedWriteCondition(request.headers));
  return { status: 204 };
};
