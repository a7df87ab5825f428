import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { DiscardingStore } from './injection/discarding-store/discarding-store.ts';
import { keyStream } from '../harness/key-stream.ts';
import { logged, type Program } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
/** One part more than allowed at the minimum part size: the parts have to grow. */
const FILE_BYTES = 10_001 * 5 * MiB;
const PART_BYTES = 6 * MiB;
const PARTS = Math.ceil(FILE_BYTES / PART_BYTES);
/** The agent's limit. */
const PARALLEL_PARTS = 8;
const KILLED_AT_PARTS = 4500;
const DEADLINE_MS = 900_000;

/** Documented limit for any file. */
const MOST_AGENT_BYTES = 160 * MiB;
/** Covers the part table, frames that name all parts, and uncollected garbage: 1 to 44 MiB were seen. */
const MOST_SERVER_GROWTH_BYTES = 80 * MiB;

test(
  `a file of ${PARTS} parts is pulled in little memory, and goes on with thousands of them after kill -9`,
  { timeout: 1_200_000, skip: process.platform !== 'linux' && 'memory is read from /proc' },
  async (t) => {
    await using stage = await Stage.start({ s3: DiscardingStore.start });
    const small = stage.directory.join('small.bin');
    const large = stage.directory.join('large.bin');
    await randomFile(small, 12 * MiB);
    await sparseFile(large);
    const args = ['--file', large, '--allow', stage.directory.path, '--no-sha256'];
    let agent = await stage.startAgent('till', args);
    // Memory for lazy loading is not growth.
    await stage.pull('till', { file_path: small });
    const idle = await residentBytes(stage.server);

    const startedAt = performance.now();
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    const before = await recordWhen(stage, id, ({ parts_completed: parts }) => parts >= KILLED_AT_PARTS);
    const middle = await residentBytes(stage.server);
    const firstPeak = await peakBytes(agent);
    agent.kill('SIGKILL');
    await agent.exit;
    const killedAfter = performance.now() - startedAt;

    agent = await stage.startAgent('till', args);
    const resumed = await agent.line(logged('resumed'), { deadlineMs: 60_000 });
    const kept = Number(resumed['kept']);
    assert.ok(kept >= before.parts_completed, `${kept} parts were kept`);
    const record = await recordWhen(stage, id, ({ completed_at: at }) => at !== null);
    const end = await residentBytes(stage.server);
    const serverPeak = await peakBytes(stage.server);
    const peaks = [firstPeak, await peakBytes(agent)];
    t.diagnostic(
      `${seconds(performance.now() - startedAt)} in all, killed after ${seconds(killedAfter)}, ${kept} parts kept`,
    );
    t.diagnostic(`agent: at most ${peaks.map(megabytes).join(', then ')}`);
    t.diagnostic(
      `server: ${megabytes(idle)} idle, ${megabytes(middle)} halfway, ${megabytes(end)} at the end, ${megabytes(serverPeak)} at most`,
    );

    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.size, FILE_BYTES);
    assert.equal(record.chunk_size, PART_BYTES);
    assert.equal(record.part_count, PARTS);
    assert.equal(record.bytes_uploaded, FILE_BYTES);
    assert.equal(record.attempt, 2);
    assert.equal(record.verification, 'full_object');
    assert.equal(record.sha256, null);
    await assertSentOnce(stage, record.key);
    for (const peak of peaks) assert.ok(peak <= MOST_AGENT_BYTES, `the agent took ${megabytes(peak)}`);
    for (const size of [middle, end]) {
      assert.ok(size - idle <= MOST_SERVER_GROWTH_BYTES, `the server grew by ${megabytes(size - idle)}`);
    }
    await stage.noOpenMultipartUploads();
  },
);

/** Creates a mostly sparse file; each tenth part begins with unique bytes, so that not all parts are equal. */
async function sparseFile(path: string): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(FILE_BYTES);
  for (let at = 0; at < FILE_BYTES; at += 10 * PART_BYTES) {
    for (const block of keyStream('large', at, at + 4096)) await file.write(block, 0, block.length, at);
  }
}

async function assertSentOnce(stage: Stage, key: string): Promise<void> {
  const puts = new Map<number, number>();
  let listings = 0;
  for (const { operation, key: of, part_number: number, status } of await stage.storeRequests()) {
    if (of !== key) continue;
    if (operation === 'ListParts') listings += 1;
    if (operation === 'UploadPart' && number !== null && status === 200) {
      puts.set(number, (puts.get(number) ?? 0) + 1);
    }
  }
  assert.equal(puts.size, PARTS);
  const again = [...puts.values()].filter((count) => count > 1);
  assert.ok(again.length <= PARALLEL_PARTS, `${again.length} parts were stored again`);
  assert.ok(listings >= KILLED_AT_PARTS / 1000, `${listings} pages of parts were asked for`);
}

async function recordWhen(
  stage: Stage,
  id: string,
  holds: (record: UploadRecord) => boolean,
): Promise<UploadRecord> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  for await (const record of stage.client.followUpload(id, { signal })) {
    if (holds(record)) return record;
    if (record.completed_at !== null) throw new Error(`it ended otherwise: ${JSON.stringify(record)}`);
  }
  throw new Error('the events ended before');
}

async function residentBytes({ pid }: Program): Promise<number> {
  return await memoryField(pid, 'VmRSS');
}

/** Peak resident memory since the process started. */
async function peakBytes({ pid }: Program): Promise<number> {
  return await memoryField(pid, 'VmHWM');
}

async function memoryField(pid: number | undefined, name: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`no ${name} in ${status}`);
  return Number(kilobytes) * 1024;
}

function megabytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(0)} MiB`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
