import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderFindings, renderVerdict } from './terminal.ts';

const speed = { text: 'speed', measured: 950.4, unit: 'MB/s', limit: { atLeast: 800 } };
const memory = { text: 'memory', measured: 30.04, unit: 'KB', limit: { atMost: 30 } };

test('findings are tables, requirements and notes', () => {
  const text = renderFindings({
    measurements: [
      { quantity: 'throughput', unit: 'MB/s', subject: 'Backhaul', samples: [900, 1000, 950.4] },
      { quantity: 'throughput', unit: 'MB/s', subject: 'curl -T', samples: [1900.8] },
      {
        quantity: 'memory',
        unit: 'MB',
        subject: 'server',
        at: { axis: 'agents', value: 1000 },
        samples: [80.5],
      },
    ],
    requirements: [speed, memory],
    notes: ['rclone is not installed'],
  });
  assert.equal(
    text,
    `
  throughput, MB/s   median     min – max   runs   by Backhaul
  Backhaul              950   900 – 1,000      3          1.00
  curl -T             1,901         1,901      1          2.00

  memory, MB   agents   median   min – max   runs
  server        1,000     80.5        80.5      1

  met     speed: 950 MB/s (at least 800 MB/s)
  MISSED  memory: 30.04 KB (at most 30 KB)

  note    rclone is not installed`.slice(1),
  );
});

test('the verdict counts what is met and names what is missed', () => {
  assert.equal(renderVerdict([]), 'No requirements');
  assert.equal(renderVerdict([speed]), '1 of 1 requirements met');
  assert.equal(renderVerdict([speed, memory]), '1 of 2 requirements met; missed: memory');
});
