import type { ChecksumMode } from '@backhaul/protocol';
import { type Bucket, BucketError, type ListedPart } from '../ports/bucket.ts';
import type { Log } from '../ports/log.ts';
import type { StoredPart, Upload, UploadPart } from './upload.ts';

/** For the log, and for the record while the parts are sent again. */
export const RESUME_DISABLED =
  'The store does not show which parts it has, so all of them are sent again; `backhaul doctor` (s3_resume) shows the reason.';

/**
 * Finds the parts that an interrupted upload need not send again: those that S3 lists with the announced length and
 * either the checksum announced before they were signed for, or the ETag that the agent reported for them. A part
 * whose PUT succeeded but was not reported before the agent ended has only its checksum.
 *
 * @param known All recorded parts.
 * @returns `missing` when S3 no longer has the multipart upload.
 * @throws BucketError `unavailable`
 */
export async function findStoredParts(
  { bucket, log }: { bucket: Bucket; log: Log },
  { uploadId, key, s3UploadId, checksumMode }: Upload,
  known: readonly UploadPart[],
): Promise<StoredPart[] | 'missing'> {
  if (s3UploadId === null || checksumMode === null) return [];
  const { partProof } = await bucket.capabilities();
  if (partProof === 'none') {
    log.warn({ uploadId }, RESUME_DISABLED);
    return [];
  }
  let listed: ListedPart[];
  try {
    listed = await bucket.listParts({ key, s3UploadId });
  } catch (error) {
    if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    if (error.kind === 'upload_gone') return 'missing';
    // A policy that forbids listing costs the parts, not the upload.
    log.warn({ uploadId, err: error }, 'parts cannot be listed; all of them are sent again');
    return [];
  }
  const announced = new Map(known.map((part) => [part.partNumber, part]));
  return listed.flatMap((part) => {
    const expected = announced.get(part.partNumber);
    const isKept = expected !== undefined && isSamePart(part, expected, checksumMode);
    return isKept ? [{ partNumber: part.partNumber, etag: part.etag }] : [];
  });
}

/**
 * A listed checksum decides. Without one, an unchanged ETag shows that this is still the part of the agent's PUT:
 * that PUT was bound to the announced checksum, or, in mode `none`, the agent compared the bytes itself when it sent
 * them.
 */
function isSamePart(listed: ListedPart, announced: UploadPart, mode: ChecksumMode): boolean {
  if (listed.sizeBytes !== announced.sizeBytes) return false;
  switch (mode) {
    case 'crc32':
      if (listed.crc32 === null) return hasReportedEtag(listed, announced);
      return listed.crc32 === announced.crc32;
    case 'sha256':
      if (listed.sha256 === null) return hasReportedEtag(listed, announced);
      return announced.sha256 !== null && listed.sha256 === announced.sha256;
    case 'md5':
      return isMd5(listed, announced) || hasReportedEtag(listed, announced);
    case 'none':
      return hasReportedEtag(listed, announced);
  }
  return mode satisfies never;
}

/** Not true for encrypted parts, or for stores with their own ETags. */
function isMd5(listed: ListedPart, announced: UploadPart): boolean {
  return announced.md5 !== null && bare(listed.etag) === toHex(announced.md5);
}

function hasReportedEtag(listed: ListedPart, announced: UploadPart): boolean {
  return announced.etag !== null && bare(announced.etag) !== '' && bare(listed.etag) === bare(announced.etag);
}

/** Some stores quote ETags in one response and not in the other. */
function bare(etag: string): string {
  return etag.replaceAll('"', '');
}

function toHex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}
