import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';

const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };
const stall = { type: 'stall', reason: 'It waits.', nextRetryAt: null } as const;

test('a transition on a row of which only the deadline has moved since is decided on the new one', async () => {
  await using bench = new DomainBench(await openSqliteStore(':memory:'));
  const { upload } = await bench.uploading();
  for (let times = 1; times <= 3; times += 1) {
    bench.clock.advance(1);
    const joined = await bench.domain.uploads.trigger(request);
    assert.equal(joined.version, upload.version + times);
  }
  const stalled = await bench.context.ledger.apply(upload, stall);
  assert.equal(stalled?.version, upload.version + 4);
  assert.equal(stalled.expiresAt, upload.expiresAt + 3);
  assert.deepEqual(await bench.upload(upload.uploadId), stalled);
});

test('an upload whose deadline has moved on does not expire by the one that was read', async () => {
  await using bench = new DomainBench(await openSqliteStore(':memory:'));
  const { upload } = await bench.uploading();
  bench.clock.advance(upload.expiresAt - bench.clock.now());
  await bench.domain.uploads.trigger(request);
  assert.equal(await bench.context.ledger.apply(upload, { type: 'expire' }), undefined);
  assert.equal((await bench.upload(upload.uploadId)).status, 'uploading');
});

test('a transition on a row that has changed otherwise since changes nothing, moved deadline or not', async () => {
  await using bench = new DomainBench(await openSqliteStore(':memory:'));
  const { ledger } = bench.context;
  const { upload } = await bench.uploading();
  await ledger.apply(upload, {
    type: 'progress',
    totals: { partsCompleted: 1, bytesUploaded: 7 },
    partRetries: 0,
  });
  assert.equal(await ledger.apply(upload, stall), undefined);
  bench.clock.advance(1);
  const joined = await bench.domain.uploads.trigger(request);
  assert.equal(await ledger.apply(upload, stall), undefined);
  assert.deepEqual(await bench.upload(upload.uploadId), joined);
});

test('a store that refuses a write without a newer row is not asked for ever', async () => {
  const real = await openSqliteStore(':memory:');
  const race = { on: false, lost: 0 };
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (!race.on) return real.saveUpload(upload, save);
      race.lost += 1;
      return false;
    },
  });
  await using bench = new DomainBench(store);
  const { upload } = await bench.uploading();
  race.on = true;
  assert.equal(await bench.context.ledger.apply(upload, stall), undefined);
  assert.equal(race.lost, 1);
});
