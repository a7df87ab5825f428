import assert from 'node:assert/strict';
import test from 'node:test';
import { windowParts } from './announce-ahead.ts';

const MiB = 1024 * 1024;

test('a window is what the server asked for, unless its parts are huge', () => {
  assert.equal(windowParts(64, 5 * MiB, 4), 64);
  assert.equal(windowParts(8, 5 * MiB, 4), 8);
  assert.equal(windowParts(64, 128 * MiB, 4), 8, 'not more than 1 GiB is hashed before the first PUT');
  assert.equal(windowParts(64, 5120 * MiB, 4), 4, 'but enough for all connections');
  assert.equal(windowParts(2, 5120 * MiB, 4), 2);
});
