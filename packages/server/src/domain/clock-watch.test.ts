import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { DomainFixture, type FixtureOptions } from '../../../../test/harness/server/domain-fixture.ts';
import { intercepted } from '../../../../test/doubles/intercepted.ts';
import { type Store, StoreError } from './ports/store.ts';
import { endSession } from './agents/handlers/hello.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

async function queued(fixture: DomainFixture, expiresInMs: number): Promise<string> {
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  const { uploadId } = await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/data/report.bin',
    requestedBy: 'operator-1',
    expiresInMs,
  });
  return uploadId;
}

test('setting the clock forward does not shorten an agent’s time to respond', async () => {
  await using fixture = await openFixture({ settings: { prepareTimeoutMs: MINUTE_MS } });
  const { upload } = await fixture.preparing();
  fixture.clock.advance(1000);
  fixture.clock.jump(10 * MINUTE_MS);
  await fixture.sweep();
  fixture.clock.advance(MINUTE_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
  fixture.clock.advance(1);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).error, 'agent_fault');
});

test('setting the clock back gives an agent at most its full time again', async () => {
  await using fixture = await openFixture({ settings: { prepareTimeoutMs: MINUTE_MS } });
  const { upload } = await fixture.preparing();
  fixture.clock.advance(1000);
  fixture.clock.jump(-DAY_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
  fixture.clock.advance(MINUTE_MS + 1);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).error, 'agent_fault');
});

test('a deadline that the clock skipped comes after the remaining time', async () => {
  await using fixture = await openFixture();
  const uploadId = await queued(fixture, 5 * MINUTE_MS);
  fixture.clock.advance(MINUTE_MS);
  fixture.clock.jump(10 * MINUTE_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  assert.equal((await fixture.upload(uploadId)).expiresAt, fixture.clock.now() + 4 * MINUTE_MS);
  assert.ok(fixture.log.entries.some(({ message }) => message.startsWith('the clock was set')));
  fixture.clock.advance(4 * MINUTE_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).status, 'expired');
});

test('a clock that is wrong by a year and then corrected changes no deadline in the end', async () => {
  await using fixture = await openFixture();
  const uploadId = await queued(fixture, 5 * MINUTE_MS);
  const { expiresAt } = await fixture.upload(uploadId);
  for (const jumpMs of [365 * DAY_MS, -365 * DAY_MS]) {
    fixture.clock.advance(1000);
    fixture.clock.jump(jumpMs);
    await fixture.sweep();
  }
  assert.equal((await fixture.upload(uploadId)).expiresAt, expiresAt);
});

test('small clock corrections move no deadline', async () => {
  await using fixture = await openFixture();
  const uploadId = await queued(fixture, 5 * MINUTE_MS);
  const before = await fixture.upload(uploadId);
  fixture.clock.jump(1500);
  await fixture.sweep();
  assert.deepEqual(await fixture.upload(uploadId), before);
});

test('deadlines that could not be moved stay in force until they can be', async () => {
  const real = await openSqliteStore(':memory:');
  let isAway = true;
  const store = intercepted<Store>(real, {
    moveDeadlines: async (move) => {
      if (isAway) throw new StoreError('locked');
      return real.moveDeadlines(move);
    },
  });
  await using fixture = new DomainFixture(store);
  const uploadId = await queued(fixture, 5 * MINUTE_MS);
  fixture.clock.jump(10 * MINUTE_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  isAway = false;
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).expiresAt, fixture.clock.now() + 5 * MINUTE_MS);
});

test('setting the clock forward while the store is unavailable does not end completing uploads', async () => {
  let jumps = 0;
  await using fixture: DomainFixture = await openFixture({
    sleep: async (ms, signal) => {
      if (jumps === 0) fixture.clock.jump(400 * DAY_MS);
      jumps += 1;
      await fixture.clock.sleep(ms, signal);
    },
  });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { times: 3 });
  const { upload } = await fixture.completing();
  await fixture.until(async () => (await fixture.upload(upload.uploadId)).completedAt !== null, 'its end');
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completed');
  assert.equal(jumps, 3);
});
