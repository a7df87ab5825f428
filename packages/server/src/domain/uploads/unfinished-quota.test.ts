import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';

async function openBench({
  perToken = 3,
  perClient = 2,
  refusals = [] as string[],
} = {}): Promise<DomainBench> {
  const bench = new DomainBench(await openSqliteStore(':memory:'), {
    unfinishedLimits: { perToken, perClient, onRefused: (limit) => refusals.push(limit) },
  });
  for (const clientId of ['client-1', 'client-2']) await bench.connect(clientId, { maxUploads: 1 });
  return bench;
}

test('a client has as many unfinished uploads as the setting says, and the refusal names it', async () => {
  const refusals: string[] = [];
  await using bench = await openBench({ refusals });
  const first = await bench.trigger('/a');
  await bench.trigger('/b');
  await assert.rejects(bench.trigger('/c'), {
    code: 'too_many_requests',
    message: /MAX_UNFINISHED_PER_CLIENT/,
  });
  assert.deepEqual(refusals, ['unfinished_per_client']);
  assert.equal((await bench.store.listUploads({ limit: 10 })).length, 2);
  await bench.domain.uploads.cancel(first.uploadId, 'operator-1');
  bench.clock.advance(250);
  await bench.trigger('/c');
});

test('a token subject has as many as the setting says, over all clients', async () => {
  const refusals: string[] = [];
  await using bench = await openBench({ refusals });
  await bench.trigger('/a');
  await bench.trigger('/b');
  await bench.trigger('/a', 'client-2');
  await assert.rejects(bench.trigger('/b', 'client-2'), {
    code: 'too_many_requests',
    message: /"operator-1".*MAX_UNFINISHED_PER_TOKEN/,
  });
  assert.deepEqual(refusals, ['unfinished_per_token']);
  const { uploads } = bench.domain;
  await uploads.trigger({ clientId: 'client-2', filePath: '/b', requestedBy: 'operator-2' });
});

test('an upload that is retried counts again', async () => {
  await using bench = await openBench();
  const first = await bench.trigger('/a');
  await bench.domain.uploads.cancel(first.uploadId, 'operator-1');
  bench.clock.advance(250);
  await bench.trigger('/b');
  await bench.trigger('/c');
  await assert.rejects(bench.domain.uploads.retry(first.uploadId, 'operator-1'), {
    code: 'too_many_requests',
  });
  assert.equal((await bench.upload(first.uploadId)).status, 'cancelled');
});

test('triggers at the same moment do not exceed it together', async () => {
  await using bench = await openBench({ perToken: 0 });
  const outcomes = await Promise.allSettled(
    ['/a', '/b', '/c', '/d', '/e'].map((path) => bench.trigger(path)),
  );
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2);
});

test('a request that joins an upload is none more, also at the limit', async () => {
  const refusals: string[] = [];
  await using bench = await openBench({ refusals });
  const trigger = (filePath: string) =>
    bench.domain.uploads.trigger({ clientId: 'client-1', filePath, requestedBy: 'operator-1' });
  const first = await trigger('/a');
  for (let count = 0; count < 5; count += 1) {
    assert.equal((await trigger('/a')).uploadId, first.uploadId);
  }
  const second = await trigger('/b');
  assert.equal((await trigger('/b')).uploadId, second.uploadId);
  await assert.rejects(trigger('/c'), { code: 'too_many_requests' });
  assert.deepEqual(refusals, ['unfinished_per_client'], 'a request that joined was not counted as refused');
  assert.equal((await bench.store.listUploads({ limit: 10 })).length, 2);
});

test('an insert that failed leaves its place to another', async (t) => {
  await using bench = await openBench();
  const insert = t.mock.method(bench.store, 'insertUpload', () => Promise.reject(new Error('disk full')));
  for (const path of ['/a', '/b', '/c']) await assert.rejects(bench.trigger(path), { message: 'disk full' });
  insert.mock.restore();
  await bench.trigger('/a');
  await bench.trigger('/b');
});
