import { checksumHeader } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requiredPartNumber, requiredUploadId } from '../request/part-parameters.ts';

export const uploadPart: Operation = async (request, { storage }) => {
  const number = requiredPartNumber(request);
  const bucket = storage.bucket(requiredBucket(request));
  const upload = bucket.upload(requiredUploadId(request), requiredKey(request));
  const plan = upload.record.checksum;
  const claimed = request.body.claims.algorithm;
  // For full-object checksums S3 computes missing part checksums itself; for composite ones the client must send them.
  const missing = claimed === undefined && plan?.type === 'COMPOSITE';
  if (plan !== undefined && (missing || (claimed !== undefined && claimed !== plan.algorithm))) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${plan.algorithm.toLowerCase()}, actual checksum Type: ${claimed?.toLowerCase() ?? 'null'}`,
    );
  }
  await using staged = await storage.stage(request.body.content(plan?.algorithm), number);
  const { md5, checksum } = await bucket.addPart(upload, staged);
  return {
    status: 200,
    headers: {
      etag: `"${md5}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
    },
  };
};
