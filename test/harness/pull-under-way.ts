import { randomFile } from './random-file.ts';
import type { Program } from './program.ts';
import type { Stage } from './stage.ts';

const MiB = 1024 * 1024;
export const PART_BYTES = 5 * MiB;
export const PARALLEL_PARTS = 4;
/** Maximum bytes in flight at one moment. */
export const IN_FLIGHT_BYTES = PARALLEL_PARTS * PART_BYTES;

export interface PullOptions {
  readonly sizeBytes?: number;
  /** Bytes per second; by default four parts take two seconds. */
  readonly rate?: number;
  /** Number of stored parts to wait for; by default 3. */
  readonly parts?: number;
}

export interface PullUnderWay {
  readonly uploadId: string;
  readonly agent: Program;
  readonly agentArgs: readonly string[];
  readonly sizeBytes: number;
  /** SHA-256 of the file. */
  readonly sha256: string;
}

/** Starts an agent and a pull, and waits until some parts are stored and others are in flight. */
export async function pullUnderWay(
  stage: Stage,
  { sizeBytes = 60 * MiB + 11, rate = 10 * MiB, parts = 3 }: PullOptions = {},
): Promise<PullUnderWay> {
  const file = stage.directory.join('large.bin');
  const sha256 = await randomFile(file, sizeBytes);
  const limits = ['--max-rate', String(rate), '--parallel-parts', String(PARALLEL_PARTS)];
  const agentArgs = ['--file', file, ...limits, '--log-level', 'debug'];
  const agent = await stage.startAgent('till', agentArgs);
  const { upload_id: uploadId } = await stage.client.triggerDownload('till', {});
  await stage.recordWhen(uploadId, ({ parts_completed: stored }) => stored >= parts);
  return { uploadId, agent, agentArgs, sizeBytes, sha256 };
}
