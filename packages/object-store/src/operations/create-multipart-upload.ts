import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requestedChecksumPlan } from '../request/checksum-plan.ts';
import { requestedProperties } from '../request/properties.ts';

export const createMultipartUpload: Operation = async (request, { storage }) => {
  await request.body.expectEmpty();
  const bucket = storage.bucket(requiredBucket(request));
  const key = requiredKey(request);
  const checksum = requestedChecksumPlan(request.headers);
  const upload = await bucket.createUpload({
    key,
    properties: requestedProperties(request.headers),
    checksum,
  });
  return {
    status: 200,
    headers: {
      'x-amz-checksum-algorithm': checksum?.algorithm,
      'x-amz-checksum-type': checksum?.type,
    },
    body: {
      root: 'InitiateMultipartUploadResult',
      content: { Bucket: bucket.name, Key: key, UploadId: upload.record.id },
    },
  };
};
