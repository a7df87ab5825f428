import type { Experiment, Findings } from '../experiment.ts';
import { GrowingFile } from './growing-file.ts';
import { type SizedPull, sizedPull } from './sized-pull.ts';

const MiB = 1024 * 1024;
const SUBJECT = 'Backhaul';
const MOST_AGENT_MB = 130;
const MOST_SERVER_GROWTH_MB = 20;
const MOST_TRAFFIC_PERCENT = 0.1;

interface Sized extends SizedPull {
  readonly sizeBytes: number;
}

export const size: Experiment = {
  name: 'size',
  title: 'What a pull takes as files grow',
  about:
    'One file in parts of 5 MiB, SHA-256 included, read from disk or the page cache and sent over loopback to a store ' +
    'that throws the bytes away. Server and agent are started for each size and have pulled 12 MiB before. The ' +
    'operator follows the pull. Traffic of the server: all bytes both ways between it and agent, operator and store.',
  async run({ quick, directory, say, signal }) {
    const sizes = (quick ? [8, 32] : [100, 1024, 3072, 10_240]).map((mebibytes) => mebibytes * MiB);
    const file = new GrowingFile(directory.join('file.bin'));
    const pulls: Sized[] = [];
    for (const sizeBytes of sizes) {
      say(`writing ${sizeBytes / MiB} MiB`);
      await file.growTo(sizeBytes, { signal });
      const pull = await sizedPull({ file: file.path, sizeBytes }, { directory, signal });
      say(`pulled ${sizeBytes / MiB} MiB in ${pull.seconds.toFixed(1)} s`);
      pulls.push({ ...pull, sizeBytes });
    }
    return { ...judge(pulls), notes: [] };
  },
};

const quantities: readonly { quantity: string; unit: string; of: (pull: Sized) => number }[] = [
  {
    quantity: 'throughput',
    unit: 'MB/s',
    of: ({ sizeBytes, seconds }) => sizeBytes / 1e6 / seconds,
  },
  { quantity: 'peak memory of the agent', unit: 'MB', of: ({ agentPeakBytes }) => agentPeakBytes / 1e6 },
  { quantity: 'memory of the server afterwards', unit: 'MB', of: ({ serverBytes }) => serverBytes / 1e6 },
  { quantity: 'peak memory of the server', unit: 'MB', of: ({ serverPeakBytes }) => serverPeakBytes / 1e6 },
  { quantity: 'traffic of the server', unit: 'kB', of: ({ trafficBytes }) => trafficBytes / 1e3 },
  { quantity: 'traffic of the server by the file', unit: '%', of: trafficPercent },
];

function trafficPercent({ trafficBytes, sizeBytes }: Sized): number {
  return (trafficBytes / sizeBytes) * 100;
}

function judge(pulls: readonly Sized[]): Omit<Findings, 'notes'> {
  const [least, most] = [pulls[0], pulls.at(-1)];
  if (least === undefined || most === undefined) throw new RangeError('nothing was pulled');
  const measurements = quantities.flatMap(({ quantity, unit, of }) =>
    pulls.map((pull) => ({
      ...{ quantity, unit, subject: SUBJECT },
      at: { axis: 'file size, MiB', value: pull.sizeBytes / MiB },
      samples: [of(pull)],
    })),
  );
  const name = ({ sizeBytes }: Sized): string => `${(sizeBytes / MiB).toLocaleString('en')} MiB`;
  const atMost = { limit: { atMost: MOST_SERVER_GROWTH_MB }, unit: 'MB' };
  const requirements = [
    ...[least, most].map((pull) => ({
      text: `Peak memory of the agent with ${name(pull)}`,
      measured: pull.agentPeakBytes / 1e6,
      unit: 'MB',
      limit: { atMost: MOST_AGENT_MB },
    })),
    {
      text: `Traffic of the server by the file, with ${name(most)}`,
      measured: trafficPercent(most),
      unit: '%',
      limit: { atMost: MOST_TRAFFIC_PERCENT },
    },
    {
      text: `Memory of the server after ${name(most)}, more than after ${name(least)}`,
      measured: (most.serverBytes - least.serverBytes) / 1e6,
      ...atMost,
    },
    {
      text: `Peak memory of the server with ${name(most)}, more than with ${name(least)}`,
      measured: (most.serverPeakBytes - least.serverPeakBytes) / 1e6,
      ...atMost,
    },
  ];
  return { measurements, requirements };
}
