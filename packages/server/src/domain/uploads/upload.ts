import type {
  ChangePolicy,
  ChecksumMode,
  ErrorCode,
  Fingerprint,
  UploadLimits,
  UploadStatus,
  Verification,
} from '@backhaul/protocol';

/**
 * One pull of one file, as the store keeps it. Times are milliseconds since the epoch. An `Upload` is never
 * changed in place: a transition makes the next one, with the next `version`.
 */
export interface Upload {
  readonly uploadId: string;
  readonly clientId: string;
  readonly filePath: string;
  readonly fileName: string;
  readonly status: UploadStatus;
  /** Which try, from 1. A message of an older one changes nothing. */
  readonly attempt: number;
  /** Guards writes and numbers events. */
  readonly version: number;
  /** The session epoch that owns it; null while no session does. */
  readonly epoch: number | null;
  readonly onChange: ChangePolicy;
  /** What its trigger asked for; null for those of its client and of the server. */
  readonly limits: UploadLimits | null;
  /** Attempts in a row that were interrupted without storing a part; each doubles the wait before the next. */
  readonly setbacks: number;
  /** How often it was begun anew from the file's first byte, because the file or the multipart upload was lost. */
  readonly restarts: number;
  /** How often the store did not complete the upload, because of parts that it had acknowledged. */
  readonly refusedCompletions: number;
  /** Of a queued upload: not before. Of a stalled one: when the agent tries again. */
  readonly nextAttemptAt: number | null;

  /** Machine and boot on which its parts were begun to be sent; null if the agent does not tell. */
  readonly hostId: string | null;
  readonly sizeBytes: number | null;
  readonly chunkSize: number | null;
  readonly partCount: number | null;
  readonly partsCompleted: number;
  readonly bytesUploaded: number;
  readonly partRetries: number;
  readonly stalledSince: number | null;
  /** Why, in a sentence for people; null exactly when `stalledSince` is. */
  readonly stalledReason: string | null;

  readonly bucket: string;
  readonly key: string;
  /** S3's own id of the multipart upload. Never leaves the server. */
  readonly s3UploadId: string | null;
  /**
   * Whether S3 may still hold that multipart upload, or, of an empty file without one, an object that should not stay;
   * the sweeper removes it once the upload has ended.
   */
  readonly multipartOpen: boolean;
  /** When it was created, by this server's clock. */
  readonly multipartCreatedAt: number | null;
  /** How old the last multipart upload was that the store dropped; null if none was. */
  readonly lostAfterMs: number | null;
  /** Unique to an attempt, kept in the object's metadata: tells whose object is at the key. */
  readonly objectToken: string | null;
  readonly checksumMode: ChecksumMode | null;
  readonly fingerprint: Fingerprint | null;
  readonly sourceModifiedAt: number | null;

  readonly etag: string | null;
  readonly versionId: string | null;
  /** Full-object CRC32, base64. */
  readonly crc32: string | null;
  readonly verification: Verification | null;
  readonly sha256: string | null;
  readonly serverSideEncryption: string | null;
  readonly storageClass: string | null;

  readonly error: ErrorCode | null;
  readonly message: string | null;

  /** Who wants it cancelled while it is `completing`: that waits until the store says whether it is complete. */
  readonly cancelRequestedBy: string | null;
  readonly cancelRequestedAt: number | null;

  readonly requestedBy: string;
  readonly reason: string | null;
  /** Of the request that made it; those that joined it have theirs beside it in the store. */
  readonly idempotencyKey: string | null;
  readonly batchId: string | null;

  readonly createdAt: number;
  readonly updatedAt: number;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  readonly expiresAt: number;
  readonly uploadDurationMs: number | null;
}

/** Whether an agent is at work on it, or should be. */
export function isRunning({ status }: Pick<Upload, 'status'>): boolean {
  return status === 'preparing' || status === 'uploading';
}

/** What an attempt finds out, before there was one. */
export const untried = {
  epoch: null,
  sizeBytes: null,
  chunkSize: null,
  partCount: null,
  partsCompleted: 0,
  bytesUploaded: 0,
  partRetries: 0,
  nextAttemptAt: null,
  stalledSince: null,
  stalledReason: null,
  s3UploadId: null,
  multipartOpen: false,
  multipartCreatedAt: null,
  hostId: null,
  objectToken: null,
  checksumMode: null,
  fingerprint: null,
  sourceModifiedAt: null,
  sha256: null,
  startedAt: null,
  uploadDurationMs: null,
} as const satisfies Partial<Upload>;

/** A part that was announced (and so may have been signed for), and its ETag once S3 has acknowledged it. */
export interface UploadPart {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly crc32: string;
  readonly sha256: string | null;
  readonly md5: string | null;
  readonly etag: string | null;
}

/** A part that S3 holds with the length and checksum that were announced. */
export type KeptPart = Pick<UploadPart, 'partNumber'> & { readonly etag: string };

/** The parts table of a running upload, summed up. */
export interface PartTotals {
  readonly partsCompleted: number;
  readonly bytesUploaded: number;
}

/** Of the parts that S3 was found to hold. */
export function totalsOf(kept: readonly KeptPart[], known: readonly UploadPart[]): PartTotals {
  const sizes = new Map(known.map(({ partNumber, sizeBytes }) => [partNumber, sizeBytes]));
  return {
    partsCompleted: kept.length,
    bytesUploaded: kept.reduce((sum, { partNumber }) => sum + (sizes.get(partNumber) ?? 0), 0),
  };
}
