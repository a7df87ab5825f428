import assert from 'node:assert/strict';
import test from 'node:test';
import { RateLimit } from './rate-limit.ts';

const signal = AbortSignal.timeout(10_000);

test('bytes are spread over time, for all takers together', async () => {
  const started = performance.now();
  const limit = new RateLimit(100_000, () => performance.now());
  await Promise.all(Array.from({ length: 40 }, () => limit.take(1000, { signal })));
  const ms = performance.now() - started;
  assert.ok(ms > 250 && ms < 1000, `40,000 bytes at 100,000/s took ${ms} ms; 100 ms are burst`);
});

test('time that passed unused is not saved up', async () => {
  let now = 0;
  const limit = new RateLimit(1000, () => now);
  await limit.take(100, { signal });
  now = 1e9;
  const stop = new AbortController();
  const large = limit.take(10_000, { signal: stop.signal });
  stop.abort();
  await assert.rejects(large, { name: 'AbortError' });
});

test('slices are small at a low rate, so that connections take turns', () => {
  const sliceAt = (rate: number) => new RateLimit(rate, () => 0).sliceBytes;
  assert.equal(sliceAt(1024), 1024);
  assert.equal(sliceAt(100_000), 5000);
  assert.equal(sliceAt(1e9), 65_536);
});
