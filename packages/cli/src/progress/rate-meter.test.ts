import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateMeter } from './rate-meter.ts';

test('tells nothing from one sample', () => {
  const meter = new RateMeter();
  meter.add(100, 0);
  assert.equal(meter.bytesPerSecond(5000), undefined);
});

test('tells the speed of the last seconds, not of the whole', () => {
  const meter = new RateMeter(4000);
  for (let second = 0; second <= 20; second += 1) meter.add(Math.max(0, second - 10) * 1000, second * 1000);
  assert.equal(meter.bytesPerSecond(20_000), 1000);
});

test('slows down while nothing comes', () => {
  const meter = new RateMeter();
  meter.add(0, 0);
  meter.add(10_000, 1000);
  assert.equal(meter.bytesPerSecond(1500), 10_000);
  assert.equal(meter.bytesPerSecond(11_000), 1000);
});

test('begins anew when the counting does', () => {
  const meter = new RateMeter();
  meter.add(5000, 0);
  meter.add(9000, 1000);
  meter.add(0, 2000);
  assert.equal(meter.bytesPerSecond(2000), undefined);
  meter.add(700, 3000);
  assert.equal(meter.bytesPerSecond(3000), 700);
});
