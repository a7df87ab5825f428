import { DigestedContent } from '../body/digested-content.ts';
import { checksumElement } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { parseCopyRange } from '../request/byte-range.ts';
import { openCopySource } from '../request/copy-source.ts';
import { requiredPartNumber, requiredUploadId } from '../request/part-parameters.ts';
import { readObjectBytes } from '../storage/object-bytes.ts';

const PART_LIMIT_BYTES = 5 * 1024 ** 3;

export const uploadPartCopy: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { headers } = request;
  const { storage } = context;
  const number = requiredPartNumber(request);
  const bucket = storage.bucket(requiredBucket(request));
  const upload = bucket.upload(requiredUploadId(request), requiredKey(request));
  using source = await openCopySource(headers, context);
  const { manifest, pin } = source;
  const rangeHeader = headers.get('x-amz-copy-source-range');
  const range =
    rangeHeader === undefined
      ? { start: 0, sizeBytes: manifest.sizeBytes }
      : parseCopyRange(rangeHeader, manifest.sizeBytes);
  if (range.sizeBytes > PART_LIMIT_BYTES) throw new S3Error('EntityTooLarge');
  const bytes = readObjectBytes(manifest.parts, range, pin);
  const content = new DigestedContent(bytes, upload.record.checksum?.algorithm);
  await using staged = await storage.stage(content, number);
  const { md5, checksum, modifiedAtMs } = await bucket.addPart(upload, staged);
  return {
    status: 200,
    body: {
      root: 'CopyPartResult',
      content: {
        LastModified: new Date(modifiedAtMs).toISOString(),
        ETag: `"${md5}"`,
        ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
      },
    },
  };
};
