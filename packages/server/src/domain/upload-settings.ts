import { DEFAULT_CHUNK_BYTES, type PlanRule, S3_MAX_PARTS, type UploadLimits } from '@backhaul/protocol';

/** What the domain is told by the configuration. */
export interface UploadSettings {
  readonly bucketName: string;
  readonly keyPrefix: string;
  /** Bytes; null for S3's own limit. */
  readonly maxFileSize: number | null;
  /** Of each upload, where neither its trigger nor its client has others. */
  readonly limits: UploadLimits;
  /** An upload that is not finished this long after its trigger ends as `expired`. */
  readonly lifetimeMs: number;
  /** An agent that has not answered `prepare_upload` by then gets no more time. */
  readonly prepareTimeoutMs: number;
  /** Longest wait between tries of completing; also of anything else that is tried again. */
  readonly maxBackoffMs: number;
}

export const planRule: PlanRule = { minChunkSize: DEFAULT_CHUNK_BYTES, maxParts: S3_MAX_PARTS };

/** Parts whose URLs are issued together. Enough to keep an agent busy, few enough to be hashed before they die. */
export const WINDOW_PARTS = 32;
