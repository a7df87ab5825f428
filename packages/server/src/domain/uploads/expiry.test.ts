import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { sampleAudit, sampleUpload } from '../fakes/sample-upload.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';
import { ClockWatch } from './clock-watch.ts';
import { Expiry } from './expiry.ts';

const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };

/** A bench whose agent has been there and is away. */
async function benchWithoutAgent(store?: Store): Promise<DomainBench> {
  const bench = new DomainBench(store ?? (await openSqliteStore(':memory:')));
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  return bench;
}

test('an upload expires at its deadline without anybody sweeping', async (context) => {
  await using bench = await benchWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await bench.domain.uploads.trigger({ ...request, expiresInMs: 2000 });
  bench.clock.advance(1999);
  context.mock.timers.tick(1999);
  await bench.settle();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  bench.clock.advance(1);
  context.mock.timers.tick(1);
  const record = await bench.reaches(uploadId, 'expired');
  assert.equal(record.error, 'upload_expired');
  assert.match(record.message ?? '', /agent was away/);
});

test('a deadline that is nearer than the one waited for comes first, and the other is not forgotten', async (context) => {
  await using bench = await benchWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploads } = bench.domain;
  const far = await uploads.trigger({ ...request, filePath: '/far', expiresInMs: 5000 });
  const near = await uploads.trigger({ ...request, filePath: '/near', expiresInMs: 1000 });
  bench.clock.advance(1000);
  context.mock.timers.tick(1000);
  await bench.reaches(near.uploadId, 'expired');
  assert.equal((await bench.upload(far.uploadId)).status, 'queued');
  await bench.settle();
  bench.clock.advance(4000);
  context.mock.timers.tick(4000);
  await bench.reaches(far.uploadId, 'expired');
});

test('a deadline that was moved on is waited for anew', async (context) => {
  await using bench = await benchWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploads } = bench.domain;
  const { uploadId } = await uploads.trigger({ ...request, expiresInMs: 1000 });
  await uploads.trigger({ ...request, expiresInMs: 3000 });
  bench.clock.advance(1000);
  context.mock.timers.tick(1000);
  await bench.settle();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  bench.clock.advance(2000);
  context.mock.timers.tick(2000);
  await bench.reaches(uploadId, 'expired');
});

test('an upload whose agent is connected does not say that it was away', async () => {
  await using bench = new DomainBench(await openSqliteStore(':memory:'));
  await bench.connect('client-1', { maxUploads: 1 });
  const running = await bench.trigger('/running');
  await bench.reaches(running.uploadId, 'preparing');
  const { uploadId } = await bench.domain.uploads.trigger({ ...request, expiresInMs: 1000 });
  bench.clock.advance(1000);
  await bench.sweep();
  const record = await bench.upload(uploadId);
  assert.equal(record.status, 'expired');
  assert.match(record.message ?? '', /is connected, .* waiting for its turn/);
});

test('more uploads than fit into a batch all expire in one look', async () => {
  await using bench = await benchWithoutAgent();
  const many = Array.from({ length: 501 }, (_, index) =>
    sampleUpload({ filePath: `/${index}`, expiresAt: bench.clock.now() }),
  );
  await Promise.all(many.map((upload) => bench.store.insertUpload(upload, sampleAudit())));
  await bench.sweep();
  assert.deepEqual(await bench.store.countUploadsByStatus(), { expired: 501 });
});

test('a database that is away at the deadline is logged, and the sweeper makes up for it', async (context) => {
  const real = await openSqliteStore(':memory:');
  const fault = { on: true, met: 0 };
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      if (!fault.on) return real.listOverdueIds(now, limit);
      fault.met += 1;
      throw new StoreError('the disk is full');
    },
  });
  await using bench = await benchWithoutAgent(store);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await bench.domain.uploads.trigger({ ...request, expiresInMs: 1000 });
  bench.clock.advance(1000);
  context.mock.timers.tick(1000);
  await bench.until(() => bench.log.entries.some(({ level }) => level === 'error'), 'the log');
  assert.equal(fault.met, 1);
  fault.on = false;
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).status, 'expired');
});

test('what cannot be ended is not asked for again and again', async () => {
  const real = await openSqliteStore(':memory:');
  const asked = { overdue: 0 };
  const stuck = Array.from({ length: 500 }, (_, index) => `id-${index}`);
  const store = intercepted<Store>(real, {
    listOverdueIds: async () => {
      asked.overdue += 1;
      return stuck;
    },
  });
  await using bench = new DomainBench(store);
  await bench.sweep();
  assert.equal(asked.overdue, 1);
});

test('a deadline farther away than a timer can count does not fire at once', async (context) => {
  await using bench = await benchWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { context: parts, store, clock, log } = bench;
  let looks = 0;
  const watched = intercepted<Store>(store, {
    listOverdueIds: async () => {
      looks += 1;
      return [];
    },
  });
  const stop = new AbortController();
  const { ending, sessions } = parts;
  const clockWatch = new ClockWatch({ store, clock, log, longestGraceMs: 1000 });
  const { signal } = stop;
  const expiry = new Expiry({ store: watched, ending, sessions, clock, clockWatch, log, signal });
  expiry.watch(clock.now() + 2 ** 31 + 1000);
  context.mock.timers.tick(2 ** 31 - 2);
  await bench.settle();
  assert.equal(looks, 0);
  context.mock.timers.tick(1);
  await bench.until(() => looks === 1, 'the look');
  stop.abort();
  expiry.watch(clock.now());
  context.mock.timers.tick(10_000);
  await bench.settle();
  assert.equal(looks, 1, 'nothing after the stop');
});

test('a deadline that passes between the look and the question for the next one is missed by neither', async (context) => {
  const real = await openSqliteStore(':memory:');
  let passed = 0;
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      const ids = await real.listOverdueIds(now, limit);
      if (now < deadline && now >= deadline - 1) {
        bench.clock.advance(1);
        passed += 1;
      }
      return ids;
    },
  });
  await using bench = await benchWithoutAgent(store);
  const deadline = bench.clock.now() + 2000;
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await bench.domain.uploads.trigger({ ...request, expiresInMs: 2000 });
  bench.clock.advance(1999);
  context.mock.timers.tick(2000);
  await bench.until(() => passed === 1, 'a look just before the deadline');
  await bench.settle();
  context.mock.timers.tick(1);
  await bench.reaches(uploadId, 'expired');
});
