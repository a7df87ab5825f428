import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateMeter } from './rate-meter.ts';

test('returns no rate for one sample', () => {
  const meter = new RateMeter();
  meter.add(100, 0);
  assert.equal(meter.bytesPerSecond(5000), undefined);
});

test('returns the rate of the last seconds, not of the whole time', () => {
  const meter = new RateMeter(4000);
  for (let second = 0; second <= 20; second += 1) meter.add(Math.max(0, second - 10) * 1000, second * 1000);
  assert.equal(meter.bytesPerSecond(20_000), 1000);
});

test('lowers the rate while no bytes arrive', () => {
  const meter = new RateMeter();
  meter.add(0, 0);
  meter.add(10_000, 1000);
  assert.equal(meter.bytesPerSecond(1500), 10_000);
  assert.equal(meter.bytesPerSecond(11_500), 1000);
});

test('is stable between rare samples, such as whole parts', () => {
  const meter = new RateMeter();
  for (let part = 0; part <= 3; part += 1) meter.add(part * 5_000_000, part * 40_000);
  for (const ms of [0, 10_000, 30_000, 50_000]) assert.equal(meter.bytesPerSecond(120_000 + ms), 125_000);
});

test('restarts when the count returns to zero', () => {
  const meter = new RateMeter();
  meter.add(5000, 0);
  meter.add(9000, 1000);
  meter.add(0, 2000);
  assert.equal(meter.bytesPerSecond(2000), undefined);
  meter.add(700, 3000);
  assert.equal(meter.bytesPerSecond(3000), 700);
});

test('a lost part lowers the count, but not the rate', () => {
  const meter = new RateMeter();
  for (let second = 0; second <= 5; second += 1) meter.add(1000 + second * 1000, second * 1000);
  meter.add(3000, 6000);
  for (let second = 7; second <= 9; second += 1) meter.add(3000 + (second - 6) * 1000, second * 1000);
  const rate = meter.bytesPerSecond(9000) ?? 0;
  assert.ok(rate > 800 && rate <= 1000, String(rate));
});

/** @returns the relative error of the ETA at each second. */
function forecastErrors(samples: readonly { at: number; bytes: number }[], size: number, endsAt: number) {
  const meter = new RateMeter();
  return samples.map(({ at, bytes }) => {
    meter.add(bytes, at);
    const rate = meter.bytesPerSecond(at);
    const forecastMs = rate === undefined ? Infinity : ((size - bytes) / rate) * 1000;
    return { at, error: Math.abs(forecastMs / (endsAt - at) - 1) };
  });
}

test('an ETA exists from the second sample, and its error is below 25 % after ten seconds', () => {
  const size = 100_000_000;
  const bytesPerMs = 125;
  const random = seeded(7);
  // Four alternating connections: each report is off by up to the bytes of one second. A buffer fills at once at the start.
  let most = 0;
  const samples = Array.from({ length: 600 }, (_, second) => {
    const real = second * 1000 * bytesPerMs + (random() - 0.5) * 125_000;
    const buffered = second === 0 ? 0 : 250_000;
    most = Math.max(most, real + buffered);
    return { at: second * 1000, bytes: second === 0 ? 0 : Math.round(most) };
  });
  const errors = forecastErrors(samples, size, size / bytesPerMs);
  assert.ok(errors.filter(({ at }) => at >= 1000).every(({ error }) => error < Infinity));
  for (const { at, error } of errors.filter(({ at }) => at >= 10_000)) {
    assert.ok(error < 0.25, `at ${at} ms ${error}`);
  }
});

test('bytes that filled a large buffer at the start do not shorten the ETA after ten seconds', () => {
  const [size, bytesPerMs] = [10_000_000, 125];
  const samples = Array.from({ length: 60 }, (_, second) => {
    const buffered = Math.min(second, 3) * 150_000;
    return { at: second * 1000, bytes: second * 1000 * bytesPerMs + buffered };
  });
  const endsAt = size / bytesPerMs;
  for (const { at, error } of forecastErrors(samples, size, endsAt).slice(10)) {
    // The content of the buffer is not visible: it is 3.6 s of transfer time.
    assert.ok(error * (endsAt - at) < 4000, `at ${at} ms ${error}`);
  }
});

test('after a fast start neither two close samples nor a stall replace the rate', () => {
  const rateOf = (samples: ReadonlyArray<readonly [at: number, bytes: number]>): number => {
    const meter = new RateMeter();
    for (const [at, bytes] of samples) meter.add(bytes, at);
    return meter.bytesPerSecond(samples.at(-1)?.[0] ?? 0) ?? 0;
  };
  const start = [0, 1000, 2000].map((at) => [at, at * 100] as const);
  const close = rateOf([...start, [5990, 590_000], [6000, 590_001]]);
  assert.ok(close > 50_000, `${close}`);
  const stall = rateOf([...start, ...[3000, 4000, 5000, 6000].map((at) => [at, 300_000] as const)]);
  assert.ok(stall > 25_000, `${stall}`);
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}
