import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requiredUploadId } from '../request/part-parameters.ts';

export const abortMultipartUpload: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  const bucket = storage.bucket(requiredBucket(request));
  await bucket.abort(bucket.upload(requiredUploadId(request), requiredKey(request)));
  return { status: 204 };
};
