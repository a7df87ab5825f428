import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import test from 'node:test';
import { type PartChecksums, planParts } from '@backhaul/protocol';
import { TemporaryFile } from '../../../../test/harness/agent/temporary-file.ts';
import { LocalHasher } from '../file/hashers.ts';
import { BufferPool, type Range } from '../file/slices.ts';
import { announceAhead, announceNext, HashAhead, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';

const MiB = 1024 * 1024;

test('the window size is the requested one, unless the parts are huge', () => {
  assert.equal(windowParts(64, 5 * MiB), 64);
  assert.equal(windowParts(8, 5 * MiB), 8);
  assert.equal(windowParts(64, 128 * MiB), 8, 'not more than 1 GiB is hashed before the first PUT');
  assert.equal(windowParts(64, 5120 * MiB), 1, 'but at least one part');
  assert.equal(windowParts(64, 600 * MiB), 1);
});

test('a part of a file that changed while it was hashed is not announced', async () => {
  await using file = await TemporaryFile.create('first line\n');
  await using hasher = new LocalHasher(file.opened, new BufferPool(1));
  const plan = planParts(file.opened.sizeBytes, { minChunkSize: 5 * MiB, maxParts: 10_000 });
  const ledger = new PartLedger({ plan, now: () => 0, ask: () => true });
  const signal = AbortSignal.timeout(5000);
  const hashes = new HashAhead(ledger.parts, (part) =>
    hasher.hashPart(part, { mode: 'crc32', inDigest: false, signal }),
  );
  await appendFile(file.path, 'second line\n');
  await assert.rejects(announceNext({ ledger, hashes }, 1, { signal }), { code: 'file_changed' });
  assert.equal(ledger.nextUnread?.number, 1);
});

/** Number of parts in each request for URLs. */
async function batches({ parts, partMs }: { parts: number; partMs: number }): Promise<number[]> {
  let clock = 0;
  const now = () => clock;
  const requested: number[] = [];
  const plan = planParts(parts * 5 * MiB, { minChunkSize: 5 * MiB, maxParts: 10_000 });
  const ledger = new PartLedger({ plan, now, ask: (some) => requested.push(some.length) > 0 });
  const hashes = new HashAhead(ledger.parts, async () => ({ crc32: 'AAAAAA==' }));
  const next = hashes.next.bind(hashes);
  hashes.next = (options) => {
    clock += partMs;
    return next(options);
  };
  const signal = AbortSignal.timeout(5000);
  const announced = announceAhead({ ledger, hashes }, 64, { now, signal });
  while (ledger.nextUnread !== null) {
    // As if they were sent immediately.
    for (const part of ledger.parts) {
      if (part.state !== 'waiting') continue;
      ledger.setUrl(part.number, { url: new URL('http://localhost'), headers: {}, staleAt: Infinity });
      const sent = await ledger.take({ signal });
      if (sent !== null) ledger.uploaded(sent, '"etag"');
    }
    await new Promise(setImmediate);
  }
  await announced;
  return requested;
}

test('URLs are requested for sixteen parts at a time', async () => {
  assert.deepEqual(await batches({ parts: 40, partMs: 1 }), [16, 16, 8]);
});

test('on a slow disk, parts are announced one by one', async () => {
  assert.deepEqual(await batches({ parts: 7, partMs: 30 }), [2, 2, 2, 1]);
  assert.deepEqual(await batches({ parts: 3, partMs: 1000 }), [1, 1, 1]);
});

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
