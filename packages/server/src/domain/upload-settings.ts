import { DEFAULT_CHUNK_BYTES, type PlanRule, S3_MAX_PARTS, type UploadLimits } from '@backhaul/protocol';

/** Configuration of the domain. */
export interface UploadSettings {
  readonly bucketName: string;
  readonly keyPrefix: string;
  /** Bytes; null for S3's own limit. */
  readonly maxFileSize: number | null;
  /** Limits of each upload for which neither its trigger nor its client sets others. */
  readonly limits: UploadLimits;
  /** An upload that is not finished this long after its trigger ends as `expired`. */
  readonly lifetimeMs: number;
  /** An agent that has not responded to `prepare_upload` after this time gets no more. */
  readonly prepareTimeoutMs: number;
  /** Maximum delay between tries of completing and of other retries. */
  readonly maxBackoffMs: number;
}

export const planRule: PlanRule = { minChunkSize: DEFAULT_CHUNK_BYTES, maxParts: S3_MAX_PARTS };

/** Parts whose URLs are issued together. Enough to keep an agent busy, few enough to hash before their URLs expire. */
export const WINDOW_PARTS = 32;
