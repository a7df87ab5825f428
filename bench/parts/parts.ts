import type { Experiment, Findings } from '../experiment.ts';
import { type PullCosts, meteredPulls, wireNames } from './metered-pulls.ts';

type Measurement = Findings['measurements'][number];

/** Small pulls are repeated so that their CPU time exceeds the resolution of 10 ms. */
const PARTS_AT_LEAST = 200;

export const parts: Experiment = {
  name: 'parts',
  title: 'What a part costs the server, by the number of parts',
  about:
    'Files of one to ten thousand parts of 5 MiB, one pull after another, to a store that throws the bytes away. A ' +
    'server of its own for each number of parts. Counted per part: its CPU time, the bytes on its connections to ' +
    'agent and store (with HTTP and WebSocket framing, without TLS), and the time from trigger to verified record, ' +
    'which agent and store share. Its memory: the peak above what it had before.',
  async run({ quick, say, signal }) {
    const counts = quick ? [1, 10, 40] : [1, 10, 100, 1000, 10_000];
    const measurements: Measurement[] = [];
    const cpuPerPart: number[] = [];
    for (const count of counts) {
      const pulls = Math.ceil((quick ? 40 : PARTS_AT_LEAST) / count);
      const costs = await meteredPulls({ parts: count, pulls }, { signal });
      say(`${count} parts, ${pulls} times: ${costs.seconds.toFixed(1)} s`);
      measurements.push(...measurementsOf(costs, { count, pulls }));
      cpuPerPart.push(costs.cpuSeconds / (count * pulls));
    }
    const [fewer = 0, most = 0] = counts.slice(-2);
    const [before = 0, last = 0] = cpuPerPart.slice(-2);
    const requirement = {
      text: `CPU time for each of ${most} parts, by that for each of ${fewer}`,
      ...{ measured: last / before, unit: '×', limit: { atMost: 1.25 } },
    };
    return { measurements, requirements: [requirement], notes: [] };
  },
};

function measurementsOf(
  { seconds, cpuSeconds, peakGrowthBytes, wire }: PullCosts,
  { count, pulls }: { count: number; pulls: number },
): Measurement[] {
  const at = { axis: 'parts', value: count };
  const all = count * pulls;
  const subject = 'Backhaul server';
  return [
    { quantity: 'CPU time per part', unit: 'ms', subject, at, samples: [(cpuSeconds * 1000) / all] },
    { quantity: 'time per part', unit: 'ms', subject, at, samples: [(seconds * 1000) / all] },
    { quantity: 'peak growth of memory', unit: 'MB', subject, at, samples: [peakGrowthBytes / 1e6] },
    ...wireNames.map((name) => ({
      ...{ quantity: 'bytes on the wire per part', unit: 'B', subject: `Backhaul server, ${name}` },
      ...{ at, samples: [wire[name] / all] },
    })),
  ];
}
