import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, pause } from './backoff.ts';

const limits = { baseMs: 100, maxMs: 1000 };

test('delays double up to the maximum, and the upper half of each is random', () => {
  const least = [1, 2, 3, 4, 5, 60].map((attempt) => backoffMs(attempt, limits, () => 0));
  const most = [1, 2, 3, 4, 5, 60].map((attempt) => backoffMs(attempt, limits, () => 1));
  assert.deepEqual(least, [50, 100, 200, 400, 500, 500]);
  assert.deepEqual(most, [100, 200, 400, 800, 1000, 1000]);
});

test('an aborted pause ends at once with the reason of its signal', async () => {
  const stop = new AbortController();
  const reason = new Error('enough');
  const paused = pause(60_000, stop.signal);
  stop.abort(reason);
  await assert.rejects(paused, reason);
  await assert.rejects(pause(60_000, stop.signal), reason);
});
