import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparisonsOf } from './comparison.ts';
import { growthsOf } from './growth.ts';

const throughput = { quantity: 'throughput', unit: 'MB/s' };
const memory = { quantity: 'memory', unit: 'MB', subject: 'server' };
const measurements = [
  { ...throughput, subject: 'ours', samples: [30, 10, 20] },
  { ...memory, at: { axis: 'agents', value: 100 }, samples: [9] },
  { ...throughput, subject: 'theirs', samples: [5] },
  { ...memory, at: { axis: 'agents', value: 1 }, samples: [8, 7] },
  { ...memory, at: { axis: 'parts', value: 1 }, samples: [6] },
  { ...memory, samples: [3] },
];

test('subjects of one quantity are compared by their medians with the first', () => {
  assert.deepEqual(comparisonsOf(measurements), [
    {
      ...throughput,
      rows: [
        { subject: 'ours', samples: [30, 10, 20], median: 20, ratio: 1 },
        { subject: 'theirs', samples: [5], median: 5, ratio: 0.25 },
      ],
    },
    {
      quantity: 'memory',
      unit: 'MB',
      rows: [{ subject: 'server', samples: [3], median: 3, ratio: undefined }],
    },
  ]);
});

test('there is no ratio to nothing', () => {
  const idle = [0, 4].map((sample) => ({ ...throughput, subject: `${sample}`, samples: [sample] }));
  assert.deepEqual(
    comparisonsOf(idle)[0]?.rows.map(({ ratio }) => ratio),
    [undefined, undefined],
  );
});

test('a quantity grows along each of its axes, from the least on', () => {
  const points = [
    { at: 1, samples: [8, 7] },
    { at: 100, samples: [9] },
  ];
  assert.deepEqual(growthsOf(measurements), [
    { quantity: 'memory', unit: 'MB', axis: 'agents', series: [{ subject: 'server', points }] },
    {
      quantity: 'memory',
      unit: 'MB',
      axis: 'parts',
      series: [{ subject: 'server', points: [{ at: 1, samples: [6] }] }],
    },
  ]);
});
