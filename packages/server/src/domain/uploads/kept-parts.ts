import type { ChecksumMode } from '@backhaul/protocol';
import { type Bucket, BucketError, type ListedPart } from '../ports/bucket.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { KeptPart, Upload, UploadPart } from './upload.ts';

/**
 * Which parts an interrupted upload need not send again: those that S3 lists with the length and the checksum that
 * were announced before they were signed for.
 *
 * @returns `gone` when S3 no longer has the multipart upload.
 * @throws BucketError `unavailable`
 */
export async function findKeptParts(
  { bucket, store, log }: { bucket: Bucket; store: Store; log: Log },
  { uploadId, key, s3UploadId, checksumMode }: Upload,
): Promise<KeptPart[] | 'gone'> {
  if (s3UploadId === null || checksumMode === null) return [];
  let listed: ListedPart[];
  try {
    listed = await bucket.listParts({ key, s3UploadId });
  } catch (error) {
    if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    if (error.kind === 'upload_gone') return 'gone';
    // A policy that does not allow to list costs the parts, not the upload.
    log.warn({ uploadId, err: error }, 'parts cannot be listed; all of them are sent again');
    return [];
  }
  const announced = new Map((await store.listParts(uploadId)).map((part) => [part.partNumber, part]));
  return listed.flatMap((part) => {
    const expected = announced.get(part.partNumber);
    const isKept = expected !== undefined && isSamePart(part, expected, checksumMode);
    return isKept ? [{ partNumber: part.partNumber, etag: part.etag }] : [];
  });
}

/** By the checksum that the store enforced for it; where it enforced none, nothing proves what it holds. */
function isSamePart(listed: ListedPart, announced: UploadPart, mode: ChecksumMode): boolean {
  if (listed.sizeBytes !== announced.sizeBytes) return false;
  switch (mode) {
    case 'crc32':
      return listed.crc32 === announced.crc32;
    case 'sha256':
      return announced.sha256 !== null && listed.sha256 === announced.sha256;
    case 'md5':
      return announced.md5 !== null && listed.etag.replaceAll('"', '') === toHex(announced.md5);
    case 'none':
      return false;
  }
  return mode satisfies never;
}

function toHex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}
