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
 * One upload of one file, as stored. Times are milliseconds since the epoch. An `Upload` is immutable: a transition
 * creates the next one, with the next `version`.
 */
export interface Upload {
  readonly uploadId: string;
  readonly clientId: string;
  readonly filePath: string;
  readonly fileName: string;
  readonly status: UploadStatus;
  /** Attempt number, from 1. Messages about older attempts are ignored. */
  readonly attempt: number;
  /** Guards writes and numbers events. */
  readonly version: number;
  /** The session epoch that owns it; null while no session does. */
  readonly epoch: number | null;
  readonly onChange: ChangePolicy;
  /** Limits in the trigger request; null for those of its client and of the server. */
  readonly limits: UploadLimits | null;
  /** Attempts in a row that were interrupted without storing a part; each doubles the delay before the next. */
  readonly setbacks: number;
  /** Number of restarts from the file's first byte, because the file changed or the multipart upload was lost. */
  readonly restarts: number;
  /** How often the store refused to complete the upload because of parts it had acknowledged. */
  readonly refusedCompletions: number;
  /** Earliest time of the next attempt (queued uploads), or of the agent's next retry (stalled ones). */
  readonly nextAttemptAt: number | null;

  /** Machine and boot that started sending its parts; null if the agent does not report it. */
  readonly hostId: string | null;
  readonly sizeBytes: number | null;
  readonly chunkSize: number | null;
  readonly partCount: number | null;
  readonly partsCompleted: number;
  readonly bytesUploaded: number;
  readonly partRetries: number;
  readonly stalledSince: number | null;
  /** A sentence for users; null exactly when `stalledSince` is. */
  readonly stalledReason: string | null;

  readonly bucket: string;
  readonly key: string;
  /** S3's own id of the multipart upload. Never leaves the server. */
  readonly s3UploadId: string | null;
  /**
   * Whether S3 may still have that multipart upload or, for an empty file without one, an object to remove; the
   * sweeper cleans up once the upload has ended.
   */
  readonly multipartOpen: boolean;
  /** When it was created, by this server's clock. */
  readonly multipartCreatedAt: number | null;
  /** Age of the last multipart upload that the store dropped; null if none was. */
  readonly lostAfterMs: number | null;
  /** Unique to an attempt, stored in the object's metadata: identifies the attempt that wrote the object at the key. */
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

  /**
   * Who requested the cancel of a `completing` upload; the cancel waits until the store says whether it is complete.
   */
  readonly cancelRequestedBy: string | null;
  readonly cancelRequestedAt: number | null;

  readonly requestedBy: string;
  readonly reason: string | null;
  /** Key of the request that created it; keys of requests that joined it are stored separately. */
  readonly idempotencyKey: string | null;
  readonly batchId: string | null;

  readonly createdAt: number;
  readonly updatedAt: number;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  readonly expiresAt: number;
  readonly uploadDurationMs: number | null;
}

/** Whether an agent is working on it, or should be. */
export function isRunning({ status }: Pick<Upload, 'status'>): boolean {
  return status === 'preparing' || status === 'uploading';
}

/** Fields that are unknown until the first attempt. */
export const RESET_ATTEMPT = {
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

/** An announced part (which may have been signed for), with its ETag once S3 has acknowledged it. */
export interface UploadPart {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly crc32: string;
  readonly sha256: string | null;
  readonly md5: string | null;
  readonly etag: string | null;
}

/** A part that S3 has with the announced length and checksum. */
export type StoredPart = Pick<UploadPart, 'partNumber'> & { readonly etag: string };

/** Totals of a running upload's parts table. */
export interface PartTotals {
  readonly partsCompleted: number;
  readonly bytesUploaded: number;
}

/** Totals of the parts that S3 was found to have. */
export function totalsOf(stored: readonly StoredPart[], known: readonly UploadPart[]): PartTotals {
  const sizes = new Map(known.map(({ partNumber, sizeBytes }) => [partNumber, sizeBytes]));
  return {
    partsCompleted: stored.length,
    bytesUploaded: stored.reduce((sum, { partNumber }) => sum + (sizes.get(partNumber) ?? 0), 0),
  };
}
