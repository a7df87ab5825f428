import assert from 'node:assert/strict';
import test from 'node:test';
import { RateLimit } from './rate-limit.ts';

const signal = AbortSignal.timeout(10_000);

test('bytes are spread over time, for all callers together', async () => {
  const started = performance.now();
  const limit = new RateLimit(100_000, { now: () => performance.now() });
  await Promise.all(Array.from({ length: 40 }, () => limit.take(1000, { signal })));
  const ms = performance.now() - started;
  assert.ok(ms > 250 && ms < 1000, `40,000 bytes at 100,000/s took ${ms} ms; 100 ms are burst`);
});

test('unused time does not accumulate', async () => {
  let now = 0;
  const limit = new RateLimit(1000, { now: () => now });
  await limit.take(100, { signal });
  now = 1e9;
  const stop = new AbortController();
  const large = limit.take(10_000, { signal: stop.signal });
  stop.abort();
  await assert.rejects(large, { name: 'AbortError' });
});

test('slices are small at a low rate, so that connections alternate', () => {
  const sliceAt = (rate: number) => new RateLimit(rate, { now: () => 0 }).sliceBytes;
  assert.equal(sliceAt(1024), 1024);
  assert.equal(sliceAt(100_000), 5000);
  assert.equal(sliceAt(1e9), 65_536);
});

test('the lower of two limits applies, and the shared one is shared', async () => {
  const now = () => performance.now();
  const owner = new RateLimit(100_000, { now });
  const [slow, fast] = [
    new RateLimit(20_000, { now, parent: owner }),
    new RateLimit(1e9, { now, parent: owner }),
  ];
  assert.equal(slow.bytesPerSecond, 20_000);
  assert.equal(fast.bytesPerSecond, 100_000);
  const started = performance.now();
  const [slowMs] = await Promise.all([
    slow.take(10_000, { signal }).then(() => performance.now() - started),
    ...Array.from({ length: 40 }, () => fast.take(1000, { signal })),
  ]);
  assert.ok(slowMs > 350, `10,000 bytes at 20,000/s took ${slowMs} ms; 100 ms are burst`);
  const ms = performance.now() - started;
  assert.ok(ms > 300 && ms < 1500, `50,000 bytes at 100,000/s took ${ms} ms`);
});

test('a limit that is currently off delays no caller', async () => {
  const limit = new RateLimit(() => null, { now: () => 0 });
  assert.equal(limit.bytesPerSecond, null);
  assert.equal(limit.worstCaseMs(1e9, 32), 0);
  await limit.take(1e12, { signal });
});
