import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Budget } from './budget.ts';

describe('a budget', () => {
  let now = 0;
  const make = () => {
    now = 0;
    return new Budget({ perSecond: 100, burst: 50, now: () => now });
  };

  test('allows its burst at once, and then only its rate', () => {
    const budget = make();
    assert.equal(budget.tryTake(50), true);
    assert.equal(budget.tryTake(1), false);
    now += 10;
    assert.equal(budget.tryTake(1), true);
    assert.equal(budget.tryTake(1), false);
  });

  test('does not accumulate more than its burst', () => {
    const budget = make();
    now += 3_600_000;
    assert.equal(budget.tryTake(51), false);
    assert.equal(budget.tryTake(50), true);
  });

  test('spends nothing for refused amounts', () => {
    const budget = make();
    assert.equal(budget.tryTake(51), false);
    assert.equal(budget.tryTake(50), true);
  });

  test('returns the time until a debt is paid off', () => {
    const budget = make();
    assert.equal(budget.spend(50), 0);
    assert.equal(budget.spend(100), 1000);
    assert.equal(budget.tryTake(), false);
    now += 400;
    assert.equal(budget.debtMs, 600);
    now += 600;
    assert.equal(budget.debtMs, 0);
  });
});
