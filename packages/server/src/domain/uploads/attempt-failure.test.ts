import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changePolicySchema, errorCodes } from '@backhaul/protocol';
import { MAX_RESTARTS, MAX_UNREADABLE, pauseBeforeNext, remedyFor } from './attempt-failure.ts';

const upload = { onChange: 'fail', restarts: 0, setbacks: 0 } as const;
const policies = changePolicySchema.options;
const least = () => 0;
const most = () => 1 - Number.EPSILON;

test('an outage of the store interrupts, whatever the policy and however often', () => {
  for (const error of ['storage_unavailable', 'upload_expired'] as const) {
    for (const onChange of policies) {
      for (const restarts of [0, MAX_RESTARTS, 100]) {
        const { act } = remedyFor({ onChange, restarts, setbacks: 1000 }, error, least);
        assert.equal(act, 'interrupt');
      }
    }
  }
});

test('a changed file starts over only where the policy says so, and not for ever', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'file_changed', least);
      assert.equal(act, onChange === 'restart' && restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('a lost multipart upload starts over under every policy, and not for ever', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'upload_gone', least);
      assert.equal(act, restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('a file that cannot be read is tried again with the parts it has, and not for ever', () => {
  const acts = Array.from(
    { length: MAX_UNREADABLE + 1 },
    (_, setbacks) => remedyFor({ ...upload, setbacks }, 'read_failed', least).act,
  );
  assert.deepEqual(acts, [...Array<string>(MAX_UNREADABLE - 1).fill('interrupt'), 'fail', 'fail']);
});

test('every other error fails, because another attempt would meet it again', () => {
  const others = errorCodes.filter(
    (code) =>
      !['storage_unavailable', 'upload_expired', 'read_failed', 'file_changed', 'upload_gone'].includes(code),
  );
  assert.ok(others.length > 20);
  for (const code of others) {
    assert.deepEqual(remedyFor({ ...upload, onChange: 'restart' }, code, least), { act: 'fail' }, code);
  }
});

/** The waits of a row of failures, with the least and the most jitter. */
function waits(waitAfter: (failures: number, random: () => number) => number | null): (number | null)[][] {
  return [0, 1, 2, 3, 10, 10_000].map((failures) => [waitAfter(failures, least), waitAfter(failures, most)]);
}

test('the wait after an outage doubles from 15 s to 10 min, half of it by chance', () => {
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

test('the wait before a new beginning doubles from a second with each', () => {
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

test('the first time an attempt is cut off the next one goes on at once, then after a growing pause', () => {
  assert.deepEqual(waits(pauseBeforeNext), [
    [null, null],
    [500, 1000],
    [1000, 2000],
    [2000, 4000],
    [30_000, 60_000],
    [30_000, 60_000],
  ]);
});
