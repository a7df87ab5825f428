import { BackhaulError } from './errors.ts';

const MiB = 1024 * 1024;

/** S3's limits (AWS, "Amazon S3 multipart upload limits"). */
export const S3_MAX_PARTS = 10_000;
export const S3_MIN_PART_BYTES = 5 * MiB;
export const S3_MAX_PART_BYTES = 5 * 1024 * MiB;

/** Default of `min_chunk_size`: a 100 MiB file has 20 parts. */
export const DEFAULT_CHUNK_BYTES = 5 * MiB;

/** Maximum number of URLs issued together. */
export const MAX_WINDOW_PARTS = 64;

export interface PlanRule {
  /** Bytes, at least 5 MiB. */
  readonly minChunkSize: number;
  /** 1 to 10,000. */
  readonly maxParts: number;
}

export interface PartPlan {
  readonly sizeBytes: number;
  readonly chunkSize: number;
  readonly partCount: number;
}

/**
 * The rule by which agent and server split a file into parts:
 * `chunk_size = max(min, ⌈size / max_parts⌉ rounded up to 1 MiB)`. An empty file is one empty part, because
 * S3 refuses to complete an upload without parts.
 *
 * @throws BackhaulError `file_too_large` if a part would exceed S3's limit of 5 GiB.
 */
export function planParts(sizeBytes: number, rule: PlanRule): PartPlan {
  const evenShare = Math.ceil(sizeBytes / rule.maxParts);
  const chunkSize = Math.max(rule.minChunkSize, Math.ceil(evenShare / MiB) * MiB);
  if (chunkSize > S3_MAX_PART_BYTES) {
    throw new BackhaulError(
      'file_too_large',
      `A file of ${sizeBytes} bytes needs parts of ${chunkSize} bytes; S3 allows ${S3_MAX_PART_BYTES}.`,
    );
  }
  return { sizeBytes, chunkSize, partCount: Math.max(1, Math.ceil(sizeBytes / chunkSize)) };
}

/** Returns the offset and length of part `partNumber` (from 1) in the file. */
export function partRange(plan: PartPlan, partNumber: number): { offset: number; length: number } {
  if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > plan.partCount) {
    throw new RangeError(`part ${partNumber} is not one of 1 to ${plan.partCount}`);
  }
  const offset = (partNumber - 1) * plan.chunkSize;
  return { offset, length: Math.min(plan.chunkSize, plan.sizeBytes - offset) };
}
