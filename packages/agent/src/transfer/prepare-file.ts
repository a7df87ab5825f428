import { createHash, type Hash } from 'node:crypto';
import {
  BackhaulError,
  type PartAnnouncement,
  type PartPlan,
  planParts,
  type PrepareUpload,
} from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import { type Announcing, announceNext, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';
import type { TransferTools } from './transfer-tools.ts';

/** A file that is open, cut into parts, and read as far as its first window. */
export interface PreparedFile extends Announcing {
  readonly plan: PartPlan;
  /** Parts announced ahead of their PUTs. */
  readonly window: number;
  readonly firstParts: readonly PartAnnouncement[];
  readonly wholeFile: Hash | null;
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
  const announcing = {
    file,
    ledger: new PartLedger({ plan, now, ask }),
    mode: request.checksum_mode,
    wholeFile: settings.sha256 ? createHash('sha256') : null,
    buffers,
  };
  const window = windowParts(request.plan.window_size, plan.chunkSize);
  const firstParts = await announceNext(announcing, window, { signal });
  return { ...announcing, plan, window, firstParts };
}
