import assert from 'node:assert/strict';
import test from 'node:test';
import { abortable } from './waits.ts';

const never = new Promise<never>(() => {});

test('passes on a result or error that comes before the abort', async () => {
  const { signal } = new AbortController();
  assert.equal(await abortable(Promise.resolve(1), signal), 1);
  await assert.rejects(abortable(Promise.reject(new Error('failed')), signal), { message: 'failed' });
});

test('an abort, also an earlier one, ends the wait with its reason', async () => {
  const stop = new AbortController();
  const waiting = abortable(never, stop.signal);
  stop.abort(new Error('stopped'));
  await assert.rejects(waiting, { message: 'stopped' });
  await assert.rejects(abortable(Promise.resolve(1), stop.signal), { message: 'stopped' });
  // An unhandled rejection would end the process.
  await assert.rejects(abortable(Promise.reject(new Error('failed')), stop.signal), { message: 'stopped' });
});
