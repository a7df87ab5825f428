import { idleRssBytes } from '../../test/harness/installation/idle-rss.ts';
import { Installation } from '../../test/harness/installation/installation.ts';
import { packPackages } from '../../test/harness/installation/tarballs.ts';
import type { Bench, Experiment } from '../experiment.ts';
import { largePartPeakBytes, parallelPeakBytes } from './part-peaks.ts';

const MiB = 1024 * 1024;
const SUBJECT = 'Backhaul agent';
const MOST_IDLE_MB = 70;
const MOST_LARGE_PART_MB = 160;
/** S3's limits are 5 TiB and 10,000 parts. */
const LARGE = { fileTiB: 5, partMiB: 525, parts: 4 };
const QUICK_LARGE = { fileTiB: 0.5, partMiB: 53, parts: 4 };
const PULLS = 4;

export const agentMemory: Experiment = {
  name: 'agent-memory',
  title: 'What the agent takes: memory and disk',
  about:
    'The agent at rest: installed from its package, connected, and five pings old. With the largest parts: four of ' +
    'a sparse file of 5 TiB at once, without SHA-256. With four pulls at once, which --max-uploads 4 allows: parts of ' +
    '5 MiB, SHA-256 included. Installed: the bytes of all files in node_modules.',
  async run(bench) {
    const { quick, say } = bench;
    const installation = await installedAgent(bench);
    const installedBytes = await installation.sizeBytes();
    const idle: number[] = [];
    for (let round = 0; round < (quick ? 1 : 3); round += 1) {
      say(`agent at rest, round ${round + 1}`);
      idle.push((await idleRssBytes(installation)) / 1e6);
    }
    const large = quick ? QUICK_LARGE : LARGE;
    say(`parts of ${large.partMiB} MiB`);
    const largeMB = (await largePartPeakBytes(large, bench)) / 1e6;
    say(`${PULLS} pulls at once`);
    const parallelMB =
      (await parallelPeakBytes({ pulls: PULLS, sizeBytes: (quick ? 32 : 256) * MiB }, bench)) / 1e6;
    const subject = SUBJECT;
    const unit = 'MB';
    return {
      measurements: [
        { quantity: 'memory at rest', unit, subject, samples: idle },
        { quantity: `peak memory with parts of ${large.partMiB} MiB`, unit, subject, samples: [largeMB] },
        { quantity: `peak memory with ${PULLS} pulls at once`, unit, subject, samples: [parallelMB] },
        { quantity: 'installed size', unit, subject, samples: [installedBytes / 1e6] },
      ],
      requirements: [
        {
          text: 'Memory of the agent at rest, at most seen',
          measured: Math.max(...idle),
          unit,
          limit: { atMost: MOST_IDLE_MB },
        },
        {
          text: `Peak memory of the agent with parts of ${large.partMiB} MiB`,
          measured: largeMB,
          unit,
          limit: { atMost: MOST_LARGE_PART_MB },
        },
      ],
      notes: [],
    };
  },
};

async function installedAgent({ directory, say, signal }: Bench): Promise<Installation> {
  say('packing and installing the agent');
  const tarball = (await packPackages(directory.path, { signal })).get('backhaul-agent');
  if (tarball === undefined) throw new Error('there is no package of the agent');
  return await Installation.make(directory.join('installed'), [tarball]);
}
