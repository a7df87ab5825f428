import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { StoreError } from '../domain/ports/store.ts';
import { retryOnStoreError } from './agent-message-handlers.ts';

function refusing(times: number, error: Error = new StoreError('the database is locked')) {
  let calls = 0;
  const task = async (): Promise<void> => {
    calls += 1;
    if (calls <= times) throw error;
  };
  return { task, calls: () => calls };
}

test('retries until the database accepts the write, and logs every refusal', async () => {
  const log = new FakeLog();
  const { task, calls } = refusing(2);
  assert.equal(await retryOnStoreError(task, { signal: new AbortController().signal, log }), true);
  assert.equal(calls(), 3);
  assert.equal(log.entries.length, 2);
});

test('stops retrying once the signal aborts', async () => {
  const stop = new AbortController();
  const { task, calls } = refusing(Infinity);
  const trying = retryOnStoreError(task, { signal: stop.signal, log: new FakeLog() });
  stop.abort();
  assert.equal(await trying, false);
  assert.equal(calls(), 1);
});

test('rethrows any other error immediately', async () => {
  const { task, calls } = refusing(1, new Error('a fault of ours'));
  const { signal } = new AbortController();
  await assert.rejects(retryOnStoreError(task, { signal, log: new FakeLog() }), /a fault of ours/);
  assert.equal(calls(), 1);
});
