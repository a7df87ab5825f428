import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { AuditRetention } from '../audit/audit-retention.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { FakeLog } from '../fakes/fake-log.ts';
import { sampleAudit, sampleUploadIn } from '../fakes/sample-upload.ts';
import type { Store } from '../ports/store.ts';
import { Retention } from './retention.ts';

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
