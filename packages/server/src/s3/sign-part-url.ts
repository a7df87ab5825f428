import type { ChecksumMode, PresignedPart } from '@backhaul/protocol';
import { BucketError, type MultipartUpload, type PartToSign } from '../domain/ports/bucket.ts';
import type { BucketAddress } from './bucket-address.ts';
import { presignUrl, type SigningWindow } from './presigned-url.ts';

/**
 * A URL for one PUT of one part: method, key, upload, part number, length and checksum are all signed. Without a
 * signed `content-length`, the holder of the URL could send 5 GiB.
 */
export function signPartUrl(
  address: BucketAddress,
  window: SigningWindow,
  request: { upload: MultipartUpload; part: PartToSign; mode: ChecksumMode },
): PresignedPart {
  const { upload, part, mode } = request;
  const headers = { 'content-length': String(part.sizeBytes), ...checksumHeader(part, mode) };
  const query = { partNumber: String(part.partNumber), uploadId: upload.s3UploadId };
  const url = presignUrl(address, window, { method: 'PUT', key: upload.key, query, headers });
  return { part_number: part.partNumber, url, headers };
}

/** S3 reads checksums from headers; in the query they would be signed and ignored. */
function checksumHeader(part: PartToSign, mode: ChecksumMode): Record<string, string> {
  switch (mode) {
    case 'crc32':
      return { 'x-amz-checksum-crc32': part.crc32 };
    case 'sha256':
      return { 'x-amz-checksum-sha256': present(part, 'sha256') };
    case 'md5':
      return { 'content-md5': present(part, 'md5') };
    case 'none':
      return {};
    default:
      return mode satisfies never;
  }
}

function present(part: PartToSign, algorithm: 'sha256' | 'md5'): string {
  const value = part[algorithm];
  if (value === undefined) {
    throw new BucketError(
      'invalid_parts',
      `Part ${part.partNumber} has no ${algorithm}, which its URL must sign.`,
    );
  }
  return value;
}
