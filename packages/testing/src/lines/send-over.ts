import type { UploadRecord } from '@backhaul/protocol';
import { PartPuts } from '../fault-tests/part-puts.ts';
import { pidOf } from '../bench/pid-of.ts';
import { processUsage } from '../bench/process-usage.ts';
import { randomFile } from '../random-file.ts';
import { Stage } from '../stage.ts';
import { apply, type Line } from './line.ts';

export interface Pulled {
  readonly tookMs: number;
  readonly record: UploadRecord;
  /** Of the file. */
  readonly sha256: string;
  /** Counted at the store: what it received of parts beyond the file's bytes. */
  readonly resentBytes: number;
  /** Connections that did. */
  readonly stalls: number;
  readonly resets: number;
  readonly agentPeakBytes: number;
  /** What people were told meanwhile of why nothing moves. */
  readonly reasons: readonly string[];
}

/** Pulls a file over the line, with an agent as it comes. */
export async function pullOver(
  line: Line,
  { compiled = false, deadlineMs = 1_200_000 }: { compiled?: boolean; deadlineMs?: number } = {},
): Promise<Pulled> {
  await using stage = await Stage.start({ storeNetworkFaults: true, compiled });
  const file = stage.directory.join('file.bin');
  const sha256 = await randomFile(file, line.sizeBytes);
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
