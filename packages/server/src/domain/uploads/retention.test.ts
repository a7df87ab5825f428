import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { FakeLog } from '../fakes/fake-log.ts';
import { sampleAudit, sampleUploadIn } from '../fakes/sample-upload.ts';
import type { Store } from '../ports/store.ts';
import { Retention } from './retention.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RETENTION_MS = 30 * DAY_MS;

class Bench implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly store: Store;
  readonly uploadId: string;

  private constructor(store: Store, uploadId: string) {
    this.store = store;
    this.uploadId = uploadId;
  }

  /** With an upload that has ended just now. */
  static async open(): Promise<Bench> {
    const store = await openSqliteStore(':memory:');
    const upload = { ...sampleUploadIn('failed'), multipartOpen: false, completedAt: new FakeClock().now() };
    await store.insertUpload(upload, sampleAudit());
    return new Bench(store, upload.uploadId);
  }

  /** What a server starts with. */
  start({ trustClock = false } = {}): Retention {
    const { store, clock, log } = this;
    return new Retention({ store, clock, log, retentionMs: RETENTION_MS, trustClock });
  }

  async isThere(): Promise<boolean> {
    return (await this.store.getUpload(this.uploadId)) !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

test('a clock that jumps by 400 days removes nothing until it has been steady for a day', async () => {
  await using bench = await Bench.open();
  const retention = bench.start();
  await retention.run();
  assert.equal(retention.isHeld, false);
  bench.clock.jump(400 * DAY_MS);
  await retention.run();
  assert.equal(retention.isHeld, true);
  assert.ok(bench.log.entries.some(({ message }) => message.startsWith('retention waits')));
  bench.clock.advance(DAY_MS - 1);
  await retention.run();
  assert.ok(await bench.isThere());
  bench.clock.advance(1);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.equal(await bench.isThere(), false);
});

test('a clock that is put right in time has removed nothing', async () => {
  await using bench = await Bench.open();
  const retention = bench.start();
  await retention.run();
  bench.clock.jump(400 * DAY_MS);
  await retention.run();
  bench.clock.advance(DAY_MS - 1);
  bench.clock.jump(-400 * DAY_MS);
  await retention.run();
  bench.clock.advance(DAY_MS);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.ok(await bench.isThere());
});

test('a restart does not make a clock right that was in doubt', async () => {
  await using bench = await Bench.open();
  const first = bench.start();
  await first.run();
  // Less than what a start would notice by itself.
  bench.clock.jump(2 * HOUR_MS);
  await first.run();
  bench.clock.advance(DAY_MS - 1);
  const second = bench.start();
  await second.run();
  assert.equal(second.isHeld, true);
  bench.clock.advance(DAY_MS);
  await second.run();
  assert.equal(second.isHeld, false);
});

test('a start long after the last removal waits as well, and rows that come meanwhile change nothing', async () => {
  await using bench = await Bench.open();
  await bench.start().run();
  bench.clock.jump(400 * DAY_MS);
  const held = bench.start();
  await held.run();
  assert.equal(held.isHeld, true);
  await bench.store.appendAudit(sampleAudit({ at: bench.clock.now() }));
  const next = bench.start();
  await next.run();
  assert.equal(next.isHeld, true);
  assert.ok(await bench.isThere());
});

test('a server that was stopped for a few days removes what is due at its start', async () => {
  await using bench = await Bench.open();
  const first = bench.start();
  for (let day = 0; day < 25; day += 1) {
    await first.run();
    bench.clock.advance(DAY_MS);
  }
  bench.clock.jump(6 * DAY_MS);
  await bench.start().run();
  assert.equal(await bench.isThere(), false);
});

test('an operator who vouches for the clock does not wait', async () => {
  await using bench = await Bench.open();
  const retention = bench.start({ trustClock: true });
  await retention.run();
  bench.clock.jump(400 * DAY_MS);
  bench.clock.advance(HOUR_MS);
  await retention.run();
  assert.equal(retention.isHeld, false);
  assert.equal(await bench.isThere(), false);
});
