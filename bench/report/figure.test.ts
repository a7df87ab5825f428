import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, figureBeside, spread } from './figure.ts';

test('a figure has three significant digits, and whole numbers and thousands stand in full', () => {
  for (const [value, text] of [
    [0, '0'],
    [7, '7'],
    [1.005_1, '1.01'],
    [99.94, '99.9'],
    [123.4, '123'],
    [12_345.6, '12,346'],
    [0.012_34, '0.0123'],
    [0.000_123_4, '1.23e-4'],
  ] as const) {
    assert.equal(figure(value), text);
  }
});

test('figures that stand together have decimals if one of them has', () => {
  assert.equal(spread([2, 1.25, 1.5]), '1.25 – 2.00');
  assert.equal(spread([1, 2, 3]), '1 – 3');
  assert.equal(spread([4, 4]), '4');
});

test('a measured figure never reads as the limit that it misses', () => {
  assert.equal(figureBeside(30.04, 30), '30.04');
  assert.equal(figureBeside(30, 30), '30');
  assert.equal(figureBeside(10_000.2, 10_000), '10,000.2');
  assert.equal(figureBeside(0.349_598, 0.35), '0.3496');
  assert.equal(figureBeside(31.23, 30), '31.2');
});
