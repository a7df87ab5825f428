import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { median, quantile } from './quantile.ts';

describe('quantiles', () => {
  test('are found whatever the order, and between two samples', () => {
    assert.equal(median([10, 2, 33]), 10);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(quantile([5, 1, 2, 3, 4], 0), 1);
    assert.equal(quantile([5, 1, 2, 3, 4], 1), 5);
    assert.equal(
      quantile(
        Array.from({ length: 101 }, (_, at) => at),
        0.99,
      ),
      99,
    );
  });

  test('of nothing are refused', () => {
    assert.throws(() => median([]), RangeError);
  });
});
