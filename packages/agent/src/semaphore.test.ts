import assert from 'node:assert/strict';
import test from 'node:test';
import { Semaphore } from './semaphore.ts';

test('waiting callers acquire it one by one, and a cancelled one takes no slot', async () => {
  const semaphore = new Semaphore(1);
  const { signal } = new AbortController();
  const order: string[] = [];
  await semaphore.acquire({ signal });
  const cancelled = new AbortController();
  const gaveUp = semaphore.acquire({ signal: cancelled.signal });
  const first = semaphore.run(async () => void order.push('first'), { signal });
  const second = semaphore.run(async () => void order.push('second'), { signal });
  cancelled.abort(new Error('no time'));
  await assert.rejects(gaveUp, /no time/);
  assert.deepEqual(order, []);
  semaphore.release();
  await Promise.all([first, second]);
  assert.deepEqual(order, ['first', 'second']);
  assert.equal(semaphore.held, 0);
});
