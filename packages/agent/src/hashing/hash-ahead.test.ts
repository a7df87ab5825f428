import assert from 'node:assert/strict';
import test from 'node:test';
import type { PartChecksums } from '@backhaul/protocol';
import type { Range } from '../file/read-slices.ts';
import { HashAhead } from './hash-ahead.ts';

const parts = [0, 1, 2, 3].map((offset) => ({ offset, length: 1 }));
const { signal } = new AbortController();

test('two parts are requested at a time and consumed in order', async () => {
  const requested: Array<PromiseWithResolvers<PartChecksums>> = [];
  const hashes = new HashAhead(parts, () => {
    const request = Promise.withResolvers<PartChecksums>();
    requested.push(request);
    return request.promise;
  });
  const first = hashes.next({ signal });
  assert.equal(requested.length, 2);
  requested[1]?.resolve({ crc32: 'second' });
  requested[0]?.resolve({ crc32: 'first' });
  assert.deepEqual(await first, { crc32: 'first' });
  assert.equal(requested.length, 3, 'one more is requested for each that is consumed');
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'second' });
  assert.equal(requested.length, 4);
});

test('throws RangeError after the last part', async () => {
  const hashes = new HashAhead(parts.slice(0, 1), async () => ({ crc32: 'only' }));
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'only' });
  await assert.rejects(hashes.next({ signal }), RangeError);
});

test('a failure is thrown when its part is consumed, and an abort ends the wait', async () => {
  const stop = new AbortController();
  const hashes = new HashAhead(parts, async ({ offset }: Range) => {
    if (offset === 1) throw new Error('failed');
    if (offset > 1) await new Promise<never>(() => {});
    return { crc32: 'first' };
  });
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'first' });
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'failed' });
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'failed' }, 'it is not skipped');
  stop.abort(new Error('stopped'));
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'stopped' });
});
