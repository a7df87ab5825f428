import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changePolicySchema, errorCodes } from '@backhaul/protocol';
import { MAX_RESTARTS, MAX_UNREADABLE, pauseBeforeNext, remedyFor } from './attempt-failure.ts';

const upload = { onChange: 'fail', restarts: 0, setbacks: 0 } as const;
const policies = changePolicySchema.options;
const least = () => 0;
const most = () => 1 - Number.EPSILON;

test('an outage of the store interrupts under every policy, any number of times', () => {
  for (const error of ['storage_unavailable', 'upload_expired'] as const) {
    for (const onChange of policies) {
      for (const restarts of [0, MAX_RESTARTS, 100]) {
        const { act } = remedyFor({ onChange, restarts, setbacks: 1000 }, error, least);
        assert.equal(act, 'interrupt');
      }
    }
  }
});

test('a changed file starts over only if the policy says so, a limited number of times', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'file_changed', least);
      assert.equal(act, onChange === 'restart' && restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('a lost multipart upload starts over under every policy, a limited number of times', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'upload_gone', least);
      assert.equal(act, restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('an unreadable file is retried with its stored parts, a limited number of times', () => {
  const acts = Array.from(
    { length: MAX_UNREADABLE + 1 },
    (_, setbacks) => remedyFor({ ...upload, setbacks }, 'read_failed', least).act,
  );
  assert.deepEqual(acts, [...Array<string>(MAX_UNREADABLE - 1).fill('interrupt'), 'fail', 'fail']);
});

test('every other error fails, because another attempt would fail the same way', () => {
  const others = errorCodes.filter(
    (code) =>
      !['storage_unavailable', 'upload_expired', 'read_failed', 'file_changed', 'upload_gone'].includes(code),
  );
  assert.ok(others.length > 20);
  for (const code of others) {
    assert.deepEqual(remedyFor({ ...upload, onChange: 'restart' }, code, least), { act: 'fail' }, code);
  }
});

/** Delays of consecutive failures, with the least and the most jitter. */
function waits(waitAfter: (failures: number, random: () => number) => number | null): (number | null)[][] {
  return [0, 1, 2, 3, 10, 10_000].map((failures) => [waitAfter(failures, least), waitAfter(failures, most)]);
}

test('the delay after an outage doubles from 15 s to 10 min, half of it random', () => {
  const expected = [
    [7500, 15_000],
    [15_000, 30_000],
    [30_000, 60_000],
    [60_000, 120_000],
    [300_000, 600_000],
    [300_000, 600_000],
  ];
  const waitAfter = (setbacks: number, random: () => number): number | null => {
    const remedy = remedyFor({ ...upload, setbacks }, 'storage_unavailable', random);
    return remedy.act === 'interrupt' ? remedy.waitMs : null;
  };
  assert.deepEqual(waits(waitAfter), expected);
});

test('the delay before a restart doubles from one second', () => {
  for (const [error, onChange] of [
    ['upload_gone', 'fail'],
    ['file_changed', 'restart'],
  ] as const) {
    const waited = [0, 1, 4].map((restarts) => {
      const remedy = remedyFor({ onChange, restarts, setbacks: 99 }, error, most);
      return remedy.act === 'start_over' ? remedy.waitMs : null;
    });
    assert.deepEqual(waited, [1000, 2000, 16_000]);
  }
});

test('after the first interruption the next attempt starts immediately, later after a growing delay', () => {
  assert.deepEqual(waits(pauseBeforeNext), [
    [null, null],
    [500, 1000],
    [1000, 2000],
    [2000, 4000],
    [30_000, 60_000],
    [30_000, 60_000],
  ]);
});
