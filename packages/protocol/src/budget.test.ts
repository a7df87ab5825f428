import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Budget, PeerBudget } from './budget.ts';

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

function budgetOf() {
  const time = { now: 0, cpuMs: 0 };
  const limits = { bytesPerSecond: 1000, cpuMsPerSecond: 100, refusalsPerMinute: 60 };
  return { time, budget: new PeerBudget(limits, { now: () => time.now, cpuMs: () => time.cpuMs }) };
}

test('bytes beyond sixteen seconds of the rate are a debt that must be paid off', () => {
  const { time, budget } = budgetOf();
  budget.receive(16_000);
  assert.equal(budget.debtMs, 0);
  budget.receive(500);
  assert.equal(budget.debtMs, 500);
  time.now += 500;
  assert.equal(budget.debtMs, 0);
});

test('CPU time is spent, also if the task throws', () => {
  const { time, budget } = budgetOf();
  assert.throws(() =>
    budget.read(4096, () => {
      time.cpuMs += 1700;
      throw new Error('planted');
    }),
  );
  assert.equal(budget.debtMs, 1001);
});

test('small frames have a fixed price, without reading the clock', () => {
  const { time, budget } = budgetOf();
  for (let count = 0; count < 10_000; count += 1) budget.read(1024, () => (time.cpuMs += 1));
  assert.equal(budget.debtMs, 0);
  for (let count = 0; count < 1000; count += 1) budget.read(1024, () => {});
  assert.equal(budget.debtMs, 501);
});

test('refused frames are counted over time regardless of others, and large frames count more', () => {
  const { time, budget } = budgetOf();
  for (let count = 0; count < 60; count += 1) {
    assert.ok(budget.refuse(10));
    budget.read(40, () => 'a frame that can be read');
  }
  assert.ok(!budget.refuse(10));
  time.now += 2000;
  assert.ok(budget.refuse(10));
  assert.ok(!budget.refuse(10 * 65_536));
});
