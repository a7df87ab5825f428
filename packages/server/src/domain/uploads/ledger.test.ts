import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import type { Store } from '../ports/store.ts';

const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };
const stall = { type: 'stall', reason: 'It waits.', nextRetryAt: null } as const;

test('a transition on a row whose deadline alone has moved is decided on the new row', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const { upload } = await fixture.uploading();
  for (let times = 1; times <= 3; times += 1) {
    fixture.clock.advance(1);
    const joined = await fixture.domain.uploads.trigger(request);
    assert.equal(joined.version, upload.version + times);
  }
  const stalled = await fixture.context.ledger.apply(upload, stall);
  assert.equal(stalled?.version, upload.version + 4);
  assert.equal(stalled.expiresAt, upload.expiresAt + 3);
  assert.deepEqual(await fixture.upload(upload.uploadId), stalled);
});

test('an upload whose deadline was extended does not expire by the old one', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const { upload } = await fixture.uploading();
  fixture.clock.advance(upload.expiresAt - fixture.clock.now());
  await fixture.domain.uploads.trigger(request);
  assert.equal(await fixture.context.ledger.apply(upload, { type: 'expire' }), undefined);
  assert.equal((await fixture.upload(upload.uploadId)).status, 'uploading');
});

test('a transition on a row with any other change is refused, moved deadline or not', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const { ledger } = fixture.context;
  const { upload } = await fixture.uploading();
  await ledger.apply(upload, {
    type: 'progress',
    totals: { partsCompleted: 1, bytesUploaded: 7 },
    partRetries: 0,
  });
  assert.equal(await ledger.apply(upload, stall), undefined);
  fixture.clock.advance(1);
  const joined = await fixture.domain.uploads.trigger(request);
  assert.equal(await ledger.apply(upload, stall), undefined);
  assert.deepEqual(await fixture.upload(upload.uploadId), joined);
});

test('a store that refuses a write without a newer row is not retried forever', async () => {
  const real = await openSqliteStore(':memory:');
  const race = { on: false, lost: 0 };
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (!race.on) return real.saveUpload(upload, save);
      race.lost += 1;
      return false;
    },
  });
  await using fixture = new DomainFixture(store);
  const { upload } = await fixture.uploading();
  race.on = true;
  assert.equal(await fixture.context.ledger.apply(upload, stall), undefined);
  assert.equal(race.lost, 1);
});
