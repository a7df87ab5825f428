import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { FakeLog } from '../fakes/fake-log.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { sampleAudit } from '../fakes/sample-upload.ts';
import type { Store } from '../ports/store.ts';
import { AuditRetention } from './audit-retention.ts';

const AT = Date.UTC(2025, 10, 1);
const DAY_MS = 86_400_000;

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
