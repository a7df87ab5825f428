import type { Machine } from '../../../../bench/report/machine.ts';
import type { Result } from '../../../../bench/report/results.ts';

const machine: Machine = {
  cpu: 'Made-up CPU',
  cores: 2,
  memoryBytes: 16e9,
  os: 'Made-up OS 1',
  kernel: 'Linux 1.2.3 x64',
  node: 'v24.0.0',
  commit: { revision: '0123456789ab', dirty: true },
  peers: { curl: '8.0.0' },
  measuredAt: '2026-01-02T03:04:05.000Z',
};

const memory = { quantity: 'memory', unit: 'MB', subject: 'Backhaul' };
const time = { quantity: 'time', unit: 'ms' };

/** Invented figures, of every kind. */
export const madeUpResults: readonly Result[] = [
  {
    name: 'speed',
    title: 'A made-up comparison',
    about: 'Some bytes from here to there.',
    machine,
    findings: {
      measurements: [
        { quantity: 'throughput', unit: 'MB/s', subject: 'Backhaul', samples: [1050, 1010, 1100] },
        { quantity: 'throughput', unit: 'MB/s', subject: 'curl -T', samples: [2100, 2090, 2200] },
        { quantity: 'start', unit: 's', subject: 'Backhaul', samples: [0.25] },
      ],
      requirements: [
        { text: 'fast enough', measured: 1050, unit: 'MB/s', limit: { atLeast: 800 } },
        { text: 'small enough', measured: 30.04, unit: 'KB', limit: { atMost: 30 } },
      ],
      notes: ['rclone is not installed, so it was left out.'],
    },
  },
  {
    name: 'growth',
    title: 'A made-up growth',
    about: 'More and more of it.',
    machine: { ...machine, commit: { revision: 'ba9876543210', dirty: false }, peers: {} },
    findings: {
      measurements: [
        { ...memory, at: { axis: 'agents', value: 1 }, samples: [80.2] },
        { ...memory, at: { axis: 'agents', value: 1000 }, samples: [81.7] },
        { ...time, subject: 'Backhaul', at: { axis: 'agents', value: 1 }, samples: [0, 2] },
        { ...time, subject: 'Backhaul', at: { axis: 'agents', value: 1000 }, samples: [40] },
        { ...time, subject: 'other', at: { axis: 'agents', value: 1000 }, samples: [90] },
      ],
      requirements: [],
      notes: [],
    },
  },
];
