import { open } from 'node:fs/promises';
import { DiscardingStore } from '../../test/faults/injection/discarding-store/discarding-store.ts';
import { randomFile } from '../../test/harness/random-file.ts';
import { Stage } from '../../test/harness/stage.ts';
import type { Bench } from '../experiment.ts';
import { pidOf } from '../pid-of.ts';
import { processUsage } from '../../test/harness/process-usage.ts';

const MiB = 1024 * 1024;
const TiB = MiB * MiB;
const CLIENT_ID = 'memory';

/** Measures the agent's peak memory after some parts of a sparse file whose length forces the wanted part size. */
export async function largePartPeakBytes(
  { fileTiB, partMiB, parts }: { fileTiB: number; partMiB: number; parts: number },
  { directory }: Bench,
): Promise<number> {
  const file = directory.join('sparse.bin');
  {
    await using made = await open(file, 'w');
    await made.truncate(fileTiB * TiB);
  }
  await using stage = await Stage.start({ s3: DiscardingStore.startTrusting, compiled: true });
  const agent = await stage.startAgent(CLIENT_ID, ['--file', file, '--no-sha256']);
  const { upload_id: id } = await stage.client.triggerDownload(CLIENT_ID, {});
  const record = await stage.recordWhen(id, ({ parts_completed: done }) => done >= parts);
  const { peakRssBytes } = await processUsage(pidOf(agent));
  await stage.client.cancelUpload(id);
  if (record.chunk_size !== partMiB * MiB) throw new Error(`a part has ${record.chunk_size} bytes`);
  return peakRssBytes;
}

/** Measures the agent's peak memory while it sends this many files in parallel. */
export async function parallelPeakBytes(
  { pulls, sizeBytes }: { pulls: number; sizeBytes: number },
  { directory }: Bench,
): Promise<number> {
  const files = Array.from({ length: pulls }, (_, at) => directory.join(`parallel-${at}.bin`));
  for (const file of files) await randomFile(file, sizeBytes, file);
  await using stage = await Stage.start({ s3: DiscardingStore.startTrusting, compiled: true });
  const args = ['--allow', directory.path, '--max-uploads', String(pulls)];
  const agent = await stage.startAgent(CLIENT_ID, args);
  const records = await Promise.all(files.map((file) => stage.pull(CLIENT_ID, { file_path: file })));
  const failed = records.find(({ status }) => status !== 'completed');
  if (failed !== undefined) throw new Error(`a pull ended as ${failed.status}: ${failed.message}`);
  const starts = records.map(({ started_at: at }) => Date.parse(at ?? ''));
  const ends = records.map(({ completed_at: at }) => Date.parse(at ?? ''));
  if (!(Math.max(...starts) < Math.min(...ends))) throw new Error('the pulls were not under way at once');
  return (await processUsage(pidOf(agent))).peakRssBytes;
}
