import assert from 'node:assert/strict';
import test from 'node:test';
import type { PartChecksums } from '@backhaul/protocol';
import type { Range } from '../file/read-slices.ts';
import { HashAhead } from './hash-ahead.ts';

const parts = [0, 1, 2, 3].map((offset) => ({ offset, length: 1 }));
const { signal } = new AbortController();

test('two parts are ordered at a time, and taken in order', async () => {
  const ordered: Array<PromiseWithResolvers<PartChecksums>> = [];
  const hashes = new HashAhead(parts, () => {
    const order = Promise.withResolvers<PartChecksums>();
    ordered.push(order);
    return order.promise;
  });
  const first = hashes.next({ signal });
  assert.equal(ordered.length, 2);
  ordered[1]?.resolve({ crc32: 'second' });
  ordered[0]?.resolve({ crc32: 'first' });
  assert.deepEqual(await first, { crc32: 'first' });
  assert.equal(ordered.length, 3, 'one more is ordered for each that is taken');
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'second' });
  assert.equal(ordered.length, 4);
});

test('after the last part there is no other', async () => {
  const hashes = new HashAhead(parts.slice(0, 1), async () => ({ crc32: 'only' }));
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'only' });
  await assert.rejects(hashes.next({ signal }), RangeError);
});

test('a failure is told when its turn comes, and an abort keeps nobody waiting', async () => {
  const stop = new AbortController();
  const hashes = new HashAhead(parts, async ({ offset }: Range) => {
    if (offset === 1) throw new Error('failed');
    if (offset > 1) await new Promise<never>(() => {});
    return { crc32: 'first' };
  });
  assert.deepEqual(await hashes.next({ signal }), { crc32: 'first' });
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'failed' });
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'failed' }, 'nor is it passed over');
  stop.abort(new Error('stopped'));
  await assert.rejects(hashes.next({ signal: stop.signal }), { message: 'stopped' });
});
