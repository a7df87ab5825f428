import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';

async function openFixture({
  perToken = 3,
  perClient = 2,
  refusals = [] as string[],
} = {}): Promise<DomainFixture> {
  const fixture = new DomainFixture(await openSqliteStore(':memory:'), {
    unfinishedLimits: { perToken, perClient, onRefused: (limit) => refusals.push(limit) },
  });
  for (const clientId of ['client-1', 'client-2']) await fixture.connect(clientId, { maxUploads: 1 });
  return fixture;
}

test('a client is limited to the configured number of unfinished uploads, and the refusal names the setting', async () => {
  const refusals: string[] = [];
  await using fixture = await openFixture({ refusals });
  const first = await fixture.trigger('/a');
  await fixture.trigger('/b');
  await assert.rejects(fixture.trigger('/c'), {
    code: 'too_many_requests',
    message: /MAX_UNFINISHED_PER_CLIENT/,
  });
  assert.deepEqual(refusals, ['unfinished_per_client']);
  assert.equal((await fixture.store.listUploads({ limit: 10 })).length, 2);
  await fixture.domain.uploads.cancel(first.uploadId, 'operator-1');
  fixture.clock.advance(250);
  await fixture.trigger('/c');
});

test('a token subject is limited across all clients', async () => {
  const refusals: string[] = [];
  await using fixture = await openFixture({ refusals });
  await fixture.trigger('/a');
  await fixture.trigger('/b');
  await fixture.trigger('/a', 'client-2');
  await assert.rejects(fixture.trigger('/b', 'client-2'), {
    code: 'too_many_requests',
    message: /"operator-1".*MAX_UNFINISHED_PER_TOKEN/,
  });
  assert.deepEqual(refusals, ['unfinished_per_token']);
  const { uploads } = fixture.domain;
  await uploads.trigger({ clientId: 'client-2', filePath: '/b', requestedBy: 'operator-2' });
});

test('an upload that is retried counts again', async () => {
  await using fixture = await openFixture();
  const first = await fixture.trigger('/a');
  await fixture.domain.uploads.cancel(first.uploadId, 'operator-1');
  fixture.clock.advance(250);
  await fixture.trigger('/b');
  await fixture.trigger('/c');
  await assert.rejects(fixture.domain.uploads.retry(first.uploadId, 'operator-1'), {
    code: 'too_many_requests',
  });
  assert.equal((await fixture.upload(first.uploadId)).status, 'cancelled');
});

test('concurrent triggers do not exceed the limit together', async () => {
  await using fixture = await openFixture({ perToken: 0 });
  const outcomes = await Promise.allSettled(
    ['/a', '/b', '/c', '/d', '/e'].map((path) => fixture.trigger(path)),
  );
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2);
});

test('a request that joins an upload does not count, even at the limit', async () => {
  const refusals: string[] = [];
  await using fixture = await openFixture({ refusals });
  const trigger = (filePath: string) =>
    fixture.domain.uploads.trigger({ clientId: 'client-1', filePath, requestedBy: 'operator-1' });
  const first = await trigger('/a');
  for (let count = 0; count < 5; count += 1) {
    assert.equal((await trigger('/a')).uploadId, first.uploadId);
  }
  const second = await trigger('/b');
  assert.equal((await trigger('/b')).uploadId, second.uploadId);
  await assert.rejects(trigger('/c'), { code: 'too_many_requests' });
  assert.deepEqual(refusals, ['unfinished_per_client'], 'a request that joined was not counted as refused');
  assert.equal((await fixture.store.listUploads({ limit: 10 })).length, 2);
});

test('a failed insert releases its reservation', async (t) => {
  await using fixture = await openFixture();
  const insert = t.mock.method(fixture.store, 'insertUpload', () => Promise.reject(new Error('disk full')));
  for (const path of ['/a', '/b', '/c'])
    await assert.rejects(fixture.trigger(path), { message: 'disk full' });
  insert.mock.restore();
  await fixture.trigger('/a');
  await fixture.trigger('/b');
});
