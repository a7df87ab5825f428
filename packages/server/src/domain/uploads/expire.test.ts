import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { sampleAudit, sampleUpload } from '../../../../../test/harness/server/sample-upload.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';
import { ClockWatch } from '../clock-watch.ts';
import { Expiry } from './expire.ts';

const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };

/** A fixture whose agent has connected once and is disconnected now. */
async function fixtureWithoutAgent(store?: Store): Promise<DomainFixture> {
  const fixture = new DomainFixture(store ?? (await openSqliteStore(':memory:')));
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  return fixture;
}

test('an upload expires at its deadline without a sweep', async (context) => {
  await using fixture = await fixtureWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await fixture.domain.uploads.trigger({ ...request, expiresInMs: 2000 });
  fixture.clock.advance(1999);
  context.mock.timers.tick(1999);
  await fixture.idle();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  fixture.clock.advance(1);
  context.mock.timers.tick(1);
  const record = await fixture.reaches(uploadId, 'expired');
  assert.equal(record.error, 'upload_expired');
  assert.match(record.message ?? '', /agent was offline/);
});

test('an earlier deadline replaces the one waited for, which is not forgotten', async (context) => {
  await using fixture = await fixtureWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploads } = fixture.domain;
  const far = await uploads.trigger({ ...request, filePath: '/far', expiresInMs: 5000 });
  const near = await uploads.trigger({ ...request, filePath: '/near', expiresInMs: 1000 });
  fixture.clock.advance(1000);
  context.mock.timers.tick(1000);
  await fixture.reaches(near.uploadId, 'expired');
  assert.equal((await fixture.upload(far.uploadId)).status, 'queued');
  await fixture.idle();
  fixture.clock.advance(4000);
  context.mock.timers.tick(4000);
  await fixture.reaches(far.uploadId, 'expired');
});

test('a moved deadline is waited for again', async (context) => {
  await using fixture = await fixtureWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploads } = fixture.domain;
  const { uploadId } = await uploads.trigger({ ...request, expiresInMs: 1000 });
  await uploads.trigger({ ...request, expiresInMs: 3000 });
  fixture.clock.advance(1000);
  context.mock.timers.tick(1000);
  await fixture.idle();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  fixture.clock.advance(2000);
  context.mock.timers.tick(2000);
  await fixture.reaches(uploadId, 'expired');
});

test('an expired upload whose agent is connected does not blame the agent', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  await fixture.connect('client-1', { maxUploads: 1 });
  const running = await fixture.trigger('/running');
  await fixture.reaches(running.uploadId, 'preparing');
  const { uploadId } = await fixture.domain.uploads.trigger({ ...request, expiresInMs: 1000 });
  fixture.clock.advance(1000);
  await fixture.sweep();
  const record = await fixture.upload(uploadId);
  assert.equal(record.status, 'expired');
  assert.match(record.message ?? '', /is connected, .* still queued at/);
});

test('more uploads than fit into a batch all expire in one run', async () => {
  await using fixture = await fixtureWithoutAgent();
  const many = Array.from({ length: 501 }, (_, index) =>
    sampleUpload({ filePath: `/${index}`, expiresAt: fixture.clock.now() }),
  );
  await Promise.all(many.map((upload) => fixture.store.insertUpload(upload, sampleAudit())));
  await fixture.sweep();
  assert.deepEqual(await fixture.store.countUploadsByStatus(), { expired: 501 });
});

test('a database failure at the deadline is logged, and the sweeper makes up for it', async (context) => {
  const real = await openSqliteStore(':memory:');
  const fault = { on: true, met: 0 };
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      if (!fault.on) return real.listOverdueIds(now, limit);
      fault.met += 1;
      throw new StoreError('the disk is full');
    },
  });
  await using fixture = await fixtureWithoutAgent(store);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await fixture.domain.uploads.trigger({ ...request, expiresInMs: 1000 });
  fixture.clock.advance(1000);
  context.mock.timers.tick(1000);
  await fixture.until(() => fixture.log.entries.some(({ level }) => level === 'error'), 'the log');
  assert.equal(fault.met, 1);
  fault.on = false;
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).status, 'expired');
});

test('uploads that cannot be ended are not queried endlessly', async () => {
  const real = await openSqliteStore(':memory:');
  const asked = { overdue: 0 };
  const stuck = Array.from({ length: 500 }, (_, index) => `id-${index}`);
  const store = intercepted<Store>(real, {
    listOverdueIds: async () => {
      asked.overdue += 1;
      return stuck;
    },
  });
  await using fixture = new DomainFixture(store);
  await fixture.sweep();
  assert.equal(asked.overdue, 1);
});

test('a deadline beyond the range of timers does not fire immediately', async (context) => {
  await using fixture = await fixtureWithoutAgent();
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { context: parts, store, clock, log } = fixture;
  let runs = 0;
  const watched = intercepted<Store>(store, {
    listOverdueIds: async () => {
      runs += 1;
      return [];
    },
  });
  const stop = new AbortController();
  const { ledger, ending, sessions } = parts;
  const clockWatch = new ClockWatch({ store, clock, log, maxGraceMs: 1000 });
  const { signal } = stop;
  const expiry = new Expiry({ store: watched, ledger, ending, sessions, clock, clockWatch, log, signal });
  expiry.watch(clock.now() + 2 ** 31 + 1000);
  context.mock.timers.tick(2 ** 31 - 2);
  await fixture.idle();
  assert.equal(runs, 0);
  context.mock.timers.tick(1);
  await fixture.until(() => runs === 1, 'the run');
  stop.abort();
  expiry.watch(clock.now());
  context.mock.timers.tick(10_000);
  await fixture.idle();
  assert.equal(runs, 1, 'nothing after the stop');
});

test('a deadline that passes between the two queries is not missed', async (context) => {
  const real = await openSqliteStore(':memory:');
  let passed = 0;
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      const ids = await real.listOverdueIds(now, limit);
      if (now < deadline && now >= deadline - 1) {
        fixture.clock.advance(1);
        passed += 1;
      }
      return ids;
    },
  });
  await using fixture = await fixtureWithoutAgent(store);
  const deadline = fixture.clock.now() + 2000;
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { uploadId } = await fixture.domain.uploads.trigger({ ...request, expiresInMs: 2000 });
  fixture.clock.advance(1999);
  context.mock.timers.tick(2000);
  await fixture.until(() => passed === 1, 'a run just before the deadline');
  await fixture.idle();
  context.mock.timers.tick(1);
  await fixture.reaches(uploadId, 'expired');
});
