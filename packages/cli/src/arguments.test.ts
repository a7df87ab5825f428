import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDurationSeconds } from './arguments.ts';

test('a duration is a number and a unit', () => {
  assert.deepEqual(['45s', '90m', '12h', '30d'].map(parseDurationSeconds), [45, 5400, 43_200, 2_592_000]);
});

test('any other text is not a duration', () => {
  for (const text of ['', '12', 'h', '1.5h', '-1h', '0s', '1 h', '1w', '1H', '9999999999d']) {
    assert.equal(parseDurationSeconds(text), undefined, text);
  }
});
