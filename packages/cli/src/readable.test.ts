import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeLimits,
  readableAge,
  readableBytes,
  readableDuration,
  readableRate,
  readableUntil,
} from './readable.ts';

test('sizes', () => {
  const sizes = [0, 999, 1000, 104_857_600, 999_949, 999_950, 5e15].map(readableBytes);
  assert.deepEqual(sizes, ['0 B', '999 B', '1.0 kB', '104.9 MB', '999.9 kB', '1.0 MB', '5.0 PB']);
});

test('rates', () => {
  assert.deepEqual([0, 124_600, 1_234_567, 123_456_789].map(readableRate), [
    ...['0 kB/s', '125 kB/s', '1.2 MB/s', '123 MB/s'],
  ]);
});

test('durations', () => {
  const minute = 60_000;
  const said = [350, 3450, 9960, 59_400, 59_600, 125_000, 120_000, 200 * minute, 100 * 60 * minute];
  assert.deepEqual(said.map(readableDuration), [
    '350 ms',
    '3.5 s',
    '10 s',
    '59 s',
    '1 min',
    '2 min 5 s',
    '2 min',
    '3 h 20 min',
    '4 d 4 h',
  ]);
});

test('ages', () => {
  const now = Date.parse('2025-11-01T10:30:00Z');
  const said = [
    '2025-11-01T10:30:05Z',
    '2025-11-01T10:29:55Z',
    '2025-11-01T09:31:00Z',
    '2025-10-30T10:30:00Z',
  ];
  assert.deepEqual(
    said.map((at) => readableAge(at, now)),
    ['now', '5 s ago', '59 min ago', '2 d ago'],
  );
  assert.equal(readableAge(null, now), '–');
});

test('times in the future', () => {
  const now = Date.parse('2025-11-01T10:30:00Z');
  const said = [
    '2025-11-01T10:29:00Z',
    '2025-11-01T10:30:00.200Z',
    '2025-11-01T10:30:05Z',
    '2025-11-01T10:32:05Z',
    '2025-11-08T10:30:00Z',
  ];
  assert.deepEqual(
    said.map((at) => readableUntil(at, now)),
    ['now', 'now', 'in 5 s', 'in 2 min 5 s', 'in 7 d'],
  );
});

test('limits are described in words; no limits give null', () => {
  assert.equal(describeLimits(null), null);
  assert.equal(describeLimits({}), null);
  assert.equal(describeLimits({ parallel_parts: 1 }), 'one part at a time');
  assert.equal(
    describeLimits({ parallel_parts: 2, max_rate: 250_000 }),
    'at most 2 parts in flight, at most 250.0 kB/s',
  );
});
