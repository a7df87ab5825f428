import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

async function queued(bench: DomainBench, expiresInMs: number): Promise<string> {
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  const { uploadId } = await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/data/report.bin',
    requestedBy: 'operator-1',
    expiresInMs,
  });
  return uploadId;
}

test('a clock that is set forward does not take from an agent the time to answer', async () => {
  await using bench = await openBench({ settings: { prepareTimeoutMs: MINUTE_MS } });
  const { upload } = await bench.preparing();
  bench.clock.advance(1000);
  bench.clock.jump(10 * MINUTE_MS);
  await bench.sweep();
  bench.clock.advance(MINUTE_MS);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
  bench.clock.advance(1);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).error, 'agent_fault');
});

test('a clock that is set back does not give an agent more than its time once again', async () => {
  await using bench = await openBench({ settings: { prepareTimeoutMs: MINUTE_MS } });
  const { upload } = await bench.preparing();
  bench.clock.advance(1000);
  bench.clock.jump(-DAY_MS);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
  bench.clock.advance(MINUTE_MS + 1);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).error, 'agent_fault');
});

test('a deadline that the clock skipped comes after the time that was left', async () => {
  await using bench = await openBench();
  const uploadId = await queued(bench, 5 * MINUTE_MS);
  bench.clock.advance(MINUTE_MS);
  bench.clock.jump(10 * MINUTE_MS);
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  assert.equal((await bench.upload(uploadId)).expiresAt, bench.clock.now() + 4 * MINUTE_MS);
  assert.ok(bench.log.entries.some(({ message }) => message.startsWith('the clock was set')));
  bench.clock.advance(4 * MINUTE_MS);
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).status, 'expired');
});

test('a clock that goes wrong by a year and is put right changes no deadline in the end', async () => {
  await using bench = await openBench();
  const uploadId = await queued(bench, 5 * MINUTE_MS);
  const { expiresAt } = await bench.upload(uploadId);
  for (const jumpMs of [365 * DAY_MS, -365 * DAY_MS]) {
    bench.clock.advance(1000);
    bench.clock.jump(jumpMs);
    await bench.sweep();
  }
  assert.equal((await bench.upload(uploadId)).expiresAt, expiresAt);
});

test('a clock that is kept right in small steps moves nothing', async () => {
  await using bench = await openBench();
  const uploadId = await queued(bench, 5 * MINUTE_MS);
  const before = await bench.upload(uploadId);
  bench.clock.jump(1500);
  await bench.sweep();
  assert.deepEqual(await bench.upload(uploadId), before);
});

test('deadlines that could not be moved hold until they can', async () => {
  const real = await openSqliteStore(':memory:');
  let isAway = true;
  const store = intercepted<Store>(real, {
    moveDeadlines: async (move) => {
      if (isAway) throw new StoreError('locked');
      return real.moveDeadlines(move);
    },
  });
  await using bench = new DomainBench(store);
  const uploadId = await queued(bench, 5 * MINUTE_MS);
  bench.clock.jump(10 * MINUTE_MS);
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  isAway = false;
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).expiresAt, bench.clock.now() + 5 * MINUTE_MS);
});

test('a clock that is set forward while the store is away does not end what is completing', async () => {
  let jumps = 0;
  await using bench: DomainBench = await openBench({
    sleep: async (ms, signal) => {
      if (jumps === 0) bench.clock.jump(400 * DAY_MS);
      jumps += 1;
      await bench.clock.sleep(ms, signal);
    },
  });
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { times: 3 });
  const { upload } = await bench.completing();
  await bench.until(async () => (await bench.upload(upload.uploadId)).completedAt !== null, 'its end');
  assert.equal((await bench.upload(upload.uploadId)).status, 'completed');
  assert.equal(jumps, 3);
});
