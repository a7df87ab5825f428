import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentile, renderTally, Tally } from './tally.ts';

test('a tally is a table by name with its sum', () => {
  const tally = new Tally();
  tally.add('kill the server', 2);
  tally.add('cut');
  tally.add('cut');
  assert.equal(tally.summary(), '2 cut, 2 kill the server');
  assert.equal(
    renderTally('fault', tally),
    [
      'fault            count',
      'cut                  2',
      'kill the server      2',
      'in all               4',
    ].join('\n'),
  );
});

test('percentiles are values that occurred', () => {
  const values = [5, 1, 4, 2, 3];
  assert.equal(percentile(values, 0.5), 3);
  assert.equal(percentile(values, 0.95), 5);
  assert.equal(percentile([7], 0.5), 7);
  assert.equal(percentile([], 0.5), 0);
});
