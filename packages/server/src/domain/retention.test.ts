import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { FakeClock } from '../../../../test/doubles/fake-clock.ts';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { intercepted } from '../../../../test/doubles/intercepted.ts';
import { sampleAudit, sampleUploadIn } from '../../../../test/harness/server/sample-upload.ts';
import type { Store } from './ports/store.ts';
import { AuditRetention, Retention } from './retention.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RETENTION_MS = 30 * DAY_MS;
const AUDIT_RETENTION_MS = 60 * DAY_MS;

class Fixture implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly store: Store;
  readonly uploadId: string;

  private constructor(store: Store, uploadId: string) {
    this.store = store;
    this.uploadId = uploadId;
  }

  /** Opens a fixture with an upload that has just ended. */
  static async open(): Promise<Fixture> {
    const store = await openSqliteStore(':memory:');
    const upload = { ...sampleUploadIn('failed'), multipartOpen: false, completedAt: new FakeClock().now() };
    await store.insertUpload(upload, sampleAudit());
    return new Fixture(store, upload.uploadId);
  }

  /** Starts retention as a server start does. */
  start({ trustClock = false } = {}): Retention {
    const { store, clock, log } = this;
    const audit = new AuditRetention({
      store,
      log,
      settings: { retentionMs: AUDIT_RETENTION_MS, maxRows: 2 },
    });
    return new Retention({ store, clock, log, retentionMs: RETENTION_MS, audit, trustClock });
  }

  async isThere(): Promise<boolean> {
    return (await this.store.getUpload(this.uploadId)) !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

test('after a clock jump of 400 days nothing is removed until the clock was steady for a day', async () => {
  await using fixture = await Fixture.open();
  const retention = fixture.start();
  await retention.run();
  assert.equal(retention.isHeld, false);
  fixture.clock.jump(400 * DAY_MS);
  await retention.run();
  assert.equal(retention.isHeld, true);
  assert.ok(fixture.log.entries.some(({ message }) => message.startsWith('retention waits')));
  fixture.clock.advance(DAY_MS - 1);
  await retention.run();
  assert.ok(await fixture.isThere());
  fixture.clock.advance(1);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.equal(await fixture.isThere(), false);
});

test('the clock is judged also while the audit cannot be shortened', async () => {
  await using fixture = await Fixture.open();
  const { store, clock, log } = fixture;
  await fixture.start().run();
  clock.jump(400 * DAY_MS);
  const audit = { removeExcess: () => Promise.reject(new Error('disk full')), removeOld: async () => {} };
  const restarted = new Retention({ store, clock, log, retentionMs: RETENTION_MS, audit, trustClock: false });
  await assert.rejects(restarted.run(), /disk full/);
  assert.equal(restarted.isHeld, true);
});

test('a clock corrected in time has removed nothing', async () => {
  await using fixture = await Fixture.open();
  const retention = fixture.start();
  await retention.run();
  fixture.clock.jump(400 * DAY_MS);
  await retention.run();
  fixture.clock.advance(DAY_MS - 1);
  fixture.clock.jump(-400 * DAY_MS);
  await retention.run();
  fixture.clock.advance(DAY_MS);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.ok(await fixture.isThere());
});

test('a restart does not make a doubtful clock trusted', async () => {
  await using fixture = await Fixture.open();
  const first = fixture.start();
  await first.run();
  // Less than a start would notice by itself.
  fixture.clock.jump(2 * HOUR_MS);
  await first.run();
  fixture.clock.advance(DAY_MS - 1);
  const second = fixture.start();
  await second.run();
  assert.equal(second.isHeld, true);
  fixture.clock.advance(DAY_MS);
  await second.run();
  assert.equal(second.isHeld, false);
});

test('a start long after the last removal waits too, regardless of new rows', async () => {
  await using fixture = await Fixture.open();
  await fixture.start().run();
  fixture.clock.jump(400 * DAY_MS);
  const held = fixture.start();
  await held.run();
  assert.equal(held.isHeld, true);
  await fixture.store.appendAudit(sampleAudit({ at: fixture.clock.now() }));
  const next = fixture.start();
  await next.run();
  assert.equal(next.isHeld, true);
  assert.ok(await fixture.isThere());
});

test('a server stopped for a few days removes due records at its start', async () => {
  await using fixture = await Fixture.open();
  const first = fixture.start();
  for (let day = 0; day < 25; day += 1) {
    await first.run();
    fixture.clock.advance(DAY_MS);
  }
  fixture.clock.jump(6 * DAY_MS);
  await fixture.start().run();
  assert.equal(await fixture.isThere(), false);
});

test('RETENTION_TRUST_CLOCK skips the wait', async () => {
  await using fixture = await Fixture.open();
  const retention = fixture.start({ trustClock: true });
  await retention.run();
  fixture.clock.jump(400 * DAY_MS);
  fixture.clock.advance(HOUR_MS);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.equal(await fixture.isThere(), false);
});

test('the audit has its own retention, held by the same clock check', async () => {
  await using fixture = await Fixture.open();
  const retention = fixture.start({ trustClock: true });
  const events = async () => (await fixture.store.listAudit({ limit: 10 })).length;
  fixture.clock.advance(31 * DAY_MS);
  await retention.run();
  assert.equal(await fixture.isThere(), false);
  assert.equal(await events(), 1);
  fixture.clock.advance(29 * DAY_MS + HOUR_MS);
  const doubting = fixture.start();
  fixture.clock.jump(400 * DAY_MS);
  await doubting.run();
  assert.equal(doubting.isHeld, true);
  assert.equal(await events(), 1, 'not while the clock is in doubt');
  await retention.run();
  assert.equal(await events(), 0);
});

test('audit events beyond the maximum are removed once an hour, also while the clock is in doubt', async () => {
  await using fixture = await Fixture.open();
  await fixture.start().run();
  fixture.clock.jump(400 * DAY_MS);
  const held = fixture.start();
  const events = async () => (await fixture.store.listAudit({ limit: 10 })).length;
  for (let count = 0; count < 3; count += 1) await fixture.store.appendAudit(sampleAudit());
  await held.run();
  assert.equal(held.isHeld, true);
  assert.equal(await events(), 2);
  await fixture.store.appendAudit(sampleAudit());
  await held.run();
  assert.equal(await events(), 3);
  fixture.clock.advance(HOUR_MS);
  await held.run();
  assert.equal(await events(), 2);
});

const AT = Date.UTC(2025, 10, 1);

async function openFixture(maxRows = 0) {
  const real = await openSqliteStore(':memory:');
  const steps: number[] = [];
  const store = intercepted<Store>(real, {
    removeAudit: (which, limit) => {
      steps.push(limit);
      return real.removeAudit(which, limit);
    },
  });
  const log = new FakeLog();
  const retention = new AuditRetention({ store, log, settings: { retentionMs: 30 * DAY_MS, maxRows } });
  const add = async (count: number, fields: Parameters<typeof sampleAudit>[0]): Promise<void> => {
    await Promise.all(Array.from({ length: count }, () => store.appendAudit(sampleAudit(fields))));
  };
  const actors = async () => (await store.listAudit({ limit: 10_000 })).map(({ actor }) => actor);
  return { retention, store, log, steps, add, actors, [Symbol.asyncDispose]: () => store.close() };
}

test('old events are removed, in steps of 500', async () => {
  await using fixture = await openFixture();
  await fixture.add(1100, { at: AT });
  await fixture.add(1, { at: AT + DAY_MS, actor: 'kept' });
  await fixture.retention.removeOld(AT + 30 * DAY_MS);
  assert.equal((await fixture.actors()).length, 1101, 'not before their time');
  await fixture.retention.removeOld(AT + 30 * DAY_MS + 1);
  assert.deepEqual(await fixture.actors(), ['kept']);
  assert.ok(fixture.steps.every((limit) => limit === 500));
});

test('events recorded while the clock was behind are kept as long as earlier ones', async () => {
  await using fixture = await openFixture();
  await fixture.add(1, { at: AT, actor: 'before' });
  await fixture.add(1, { at: AT - 400 * DAY_MS, actor: 'behind' });
  await fixture.retention.removeOld(AT + 1);
  assert.deepEqual(await fixture.actors(), ['before', 'behind']);
  await fixture.retention.removeOld(AT + 30 * DAY_MS + 1);
  assert.deepEqual(await fixture.actors(), []);
});

test('events recorded while the clock was ahead do not block the removal of others', async () => {
  await using fixture = await openFixture();
  await fixture.add(1, { at: AT + 4000 * DAY_MS, actor: 'ahead' });
  await fixture.add(1, { at: AT, actor: 'old' });
  await fixture.add(1, { at: AT + 20 * DAY_MS, actor: 'young' });
  await fixture.retention.removeOld(AT + 31 * DAY_MS);
  assert.deepEqual(await fixture.actors(), ['ahead', 'young']);
});

test('beyond the maximum the earliest recorded events are removed, in steps and with a log line', async () => {
  await using fixture = await openFixture(100);
  await fixture.add(1200, { at: AT });
  await fixture.add(100, { at: AT - 5, actor: 'last' });
  await fixture.retention.removeExcess();
  const left = await fixture.actors();
  assert.equal(left.length, 100);
  assert.ok(left.every((actor) => actor === 'last'));
  assert.deepEqual(fixture.steps, [500, 500, 200]);
  const [warning, ...more] = fixture.log.entries;
  assert.deepEqual(more, []);
  assert.deepEqual(warning?.data, { rows: 1200, maxRows: 100 });
  assert.match(warning?.message ?? '', /AUDIT_MAX_ROWS/);
  await fixture.retention.removeExcess();
  assert.equal(fixture.log.entries.length, 1);
});

test('requests without a valid token get a tenth of the maximum and displace no other events', async () => {
  await using fixture = await openFixture(100);
  await fixture.add(80, { at: AT, actor: 'anna' });
  await fixture.add(500, { at: AT + 1, actor: '' });
  await fixture.retention.removeExcess();
  const left = await fixture.actors();
  assert.equal(left.filter((actor) => actor === 'anna').length, 80);
  assert.equal(left.filter((actor) => actor === '').length, 10);
  assert.deepEqual(fixture.log.entries, []);
});

test('without a maximum no event is removed', async () => {
  await using fixture = await openFixture(0);
  await fixture.add(10, { at: AT });
  await fixture.retention.removeExcess();
  assert.deepEqual(fixture.steps, []);
});
