import { createHash, type Hash } from 'node:crypto';
import {
  BackhaulError,
  type PartAnnouncement,
  type PartChecksums,
  type PartPlan,
  planParts,
  type PrepareUpload,
  type ResumeState,
} from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import { type Announcing, announceNext, firstParts, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';
import type { TransferTools } from './transfer-tools.ts';

/** A file that is open and cut into parts. */
export interface PreparedFile extends Announcing {
  readonly plan: PartPlan;
  /** Parts announced ahead of their PUTs. */
  readonly window: number;
  /** Read and hashed already, for `prepared`; none of a resumed one. */
  readonly firstParts: readonly PartAnnouncement[];
  /** Of the whole file. */
  readonly sha256: Hash | null;
  /** Whether it goes on with an earlier attempt. */
  readonly resumed: boolean;
}

interface PrepareOptions {
  readonly tools: TransferTools;
  readonly ask: (parts: PartAnnouncement[]) => boolean;
  readonly signal: AbortSignal;
}

/** @throws BackhaulError `file_too_large`, `file_changed`, `read_failed` */
export async function prepareFile(
  file: OpenedFile,
  request: PrepareUpload,
  { tools, ask, signal }: PrepareOptions,
): Promise<PreparedFile> {
  const { settings, buffers, now } = tools;
  const limit = Math.min(request.plan.max_file_size ?? Infinity, settings.maxFileSize ?? Infinity);
  if (file.sizeBytes > limit) {
    throw new BackhaulError('file_too_large', `The file has ${file.sizeBytes} bytes; the limit is ${limit}.`);
  }
  const rule = { minChunkSize: request.plan.min_chunk_size, maxParts: request.plan.max_parts };
  const plan = planParts(file.sizeBytes, rule);
  const sha256 = settings.sha256 ? createHash('sha256') : null;
  const window = windowParts(request.plan.window_size, plan.chunkSize);
  const common = { file, plan, window, sha256, mode: request.checksum_mode, buffers };
  if (request.resume !== undefined) {
    const kept = keptParts(request.resume);
    const ledger = new PartLedger({ plan, now, ask, kept });
    // Parts are announced with gaps, so the digest of the whole file is taken by who reads them all.
    return { ...common, ledger, wholeFile: null, firstParts: [], resumed: true };
  }
  const announcing = { ...common, ledger: new PartLedger({ plan, now, ask }), wholeFile: sha256 };
  return {
    ...announcing,
    firstParts: await announceNext(announcing, firstParts(window), { signal }),
    resumed: false,
  };
}

function keptParts({ kept_parts: parts }: ResumeState): Map<number, PartChecksums> {
  return new Map(parts.map(({ part_number: number, ...checksums }) => [number, checksums]));
}
