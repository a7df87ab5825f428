import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UploadRecord } from '@backhaul/protocol';
import { PartPuts } from '../../test/harness/part-puts.ts';
import { pidOf } from '../pid-of.ts';
import { processUsage } from '../../test/harness/process-usage.ts';
import { randomFile } from '../../test/harness/random-file.ts';
import { Stage } from '../../test/harness/stage.ts';
import { apply, type Line } from './line.ts';

export interface Pulled {
  readonly tookMs: number;
  readonly record: UploadRecord;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** Bytes of parts that the store received beyond the file's size. */
  readonly resentBytes: number;
  /** Number of stalled connections. */
  readonly stalls: number;
  readonly resets: number;
  readonly agentPeakBytes: number;
  /** Reported reasons for stalls during the pull. */
  readonly reasons: readonly string[];
}

/** The agent reads a file twice if it was written within 10 s before; that measures the disk, not the link. */
const REST_MS = 11_000;

/** Writes a file to disk and waits until it has been at rest. @returns its SHA-256, hexadecimal. */
export async function restingFile(path: string, sizeBytes: number): Promise<string> {
  const sha256 = await randomFile(path, sizeBytes);
  await using file = await open(path, 'r');
  await file.sync();
  await sleep(REST_MS);
  return sha256;
}

/**
 * Pulls a file over the link.
 *
 * @param options.compiled Whether to use the programs of `npm run build`, for a measurement with a file at rest.
 */
export async function pullOver(
  line: Line,
  { compiled = false, deadlineMs = 1_200_000 }: { compiled?: boolean; deadlineMs?: number } = {},
): Promise<Pulled> {
  await using stage = await Stage.start({ storeNetworkFaults: true, compiled });
  const file = stage.directory.join('file.bin');
  const sha256 = await (compiled ? restingFile : randomFile)(file, line.sizeBytes);
  const agent = await stage.startAgent('till', ['--file', file, '--log-level', 'debug']);
  using _ = apply(line, stage.storeNetwork);
  const startedAt = performance.now();
  const { upload_id: uploadId } = await stage.client.triggerDownload('till', { expires_in: 7 * 86_400 });
  const reasons = new Set<string>();
  const record = await stage.recordWhen(
    uploadId,
    ({ completed_at: at, stalled_reason: reason }) => {
      if (reason != null) reasons.add(reason);
      return at !== null;
    },
    { deadlineMs },
  );
  const tookMs = performance.now() - startedAt;
  const puts = await PartPuts.of(stage, record);
  const { peakRssBytes } = await processUsage(pidOf(agent));
  return {
    ...{ tookMs, record, sha256, reasons: [...reasons], agentPeakBytes: peakRssBytes },
    resentBytes: puts.twice(line),
    stalls: stage.storeNetwork.fired.strandSome,
    resets: stage.storeNetwork.fired.reset,
  };
}
