import { DiscardingStore } from '../../test/faults/injection/discarding-store/discarding-store.ts';
import { randomFile } from '../../test/harness/random-file.ts';
import { Stage } from '../../test/harness/stage.ts';
import type { Bench, Experiment, Findings } from '../experiment.ts';
import { median } from '../quantile.ts';
import { AWS_CLI, findAwsCli } from './aws-cli.ts';
import { CURL, findCurl } from './curl.ts';
import { libStorage } from './lib-storage.ts';
import { type OwnPull, pullWithAgent } from './own-pull.ts';
import type { Peer } from './peer.ts';
import { findRclone } from './rclone.ts';
import type { CommandUsage } from './timed-command.ts';

const MiB = 1024 * 1024;
const CRC32 = 'Backhaul, CRC32';
const SHA256 = 'Backhaul, CRC32 and SHA-256';

/** Required throughput as multiples of a peer's. */
const GOALS = [
  { subject: CRC32, peer: AWS_CLI, times: 4 },
  { subject: CRC32, peer: libStorage.name, times: 4 },
  { subject: CRC32, peer: CURL, times: 0.5 },
  { subject: SHA256, peer: AWS_CLI, times: 2.5 },
  { subject: SHA256, peer: CURL, times: 0.35 },
] as const;

/** The agent is a service: V8 has compiled hot code after some thousand parts. */
const OWN_WARM_UPS = 5;

interface Subject {
  readonly name: string;
  readonly send: () => Promise<CommandUsage>;
}

export const throughput: Experiment = {
  name: 'throughput',
  title: 'Throughput and CPU of one file, against peers',
  about:
    'A file of 1 GiB, which is in the page cache, in parts of 5 MiB, four at once, over loopback to a store that ' +
    'throws the bytes away without looking at them. Backhaul: from the trigger to the verified record, with the CPU ' +
    `time of agent and server, each agent having pulled it ${OWN_WARM_UPS} times before the rounds. Peers: the whole ` +
    'command. Rounds in turns; a requirement is judged by the median of the ratios in each round. M is a million, G a ' +
    'thousand of them.',
  async run(bench) {
    const sizeBytes = (bench.quick ? 32 : 1024) * MiB;
    const file = bench.directory.join('file.bin');
    bench.say(`writing a file of ${sizeBytes / MiB} MiB`);
    await randomFile(file, sizeBytes);
    await using stage = await Stage.start({ s3: DiscardingStore.startTrusting, compiled: true });
    await using crc32 = await pullWithAgent(stage, { clientId: 'crc32', file, args: ['--no-sha256'] });
    await using sha256 = await pullWithAgent(stage, { clientId: 'sha256', file, args: [] });
    const { peers, notes } = await installedPeers(bench);
    notes.push(
      `The first pull of a fresh agent: ${await warmUp(crc32, bench)} s with CRC32, ` +
        `${await warmUp(sha256, bench)} s with SHA-256 as well, when the server had pulled already.`,
    );
    const run = { file, sizeBytes, store: stage.s3, directory: bench.directory.path, signal: bench.signal };
    const subjects: Subject[] = [
      { name: CRC32, send: () => crc32.pull() },
      { name: SHA256, send: () => sha256.pull() },
      ...peers.map(({ name, send }) => ({ name, send: () => send(run) })),
    ];
    const usages = await inTurns(subjects, bench);
    return { ...judge(usages, sizeBytes), notes };
  },
};

async function installedPeers({ signal }: Bench): Promise<{ peers: Peer[]; notes: string[] }> {
  const found = [];
  for (const [name, find] of [
    [CURL, findCurl],
    [AWS_CLI, findAwsCli],
    ['rclone', findRclone],
  ] as const) {
    found.push({ name, peers: await find(signal) });
  }
  const missing = found.filter(({ peers }) => peers.length === 0);
  return {
    peers: [...found.flatMap(({ peers }) => peers), libStorage],
    notes: missing.map(({ name }) => `${name} is not installed, and was not measured.`),
  };
}

/** @returns Seconds that the first pull took */
async function warmUp(pull: OwnPull, { quick, signal }: Bench): Promise<string> {
  const { seconds } = await pull.pull();
  for (let pulls = 1; pulls < (quick ? 1 : OWN_WARM_UPS); pulls += 1) {
    signal.throwIfAborted();
    await pull.pull();
  }
  return seconds.toFixed(2);
}

/** Runs one warm-up round, whose figures are dropped, and some measured rounds. */
async function inTurns(
  subjects: readonly Subject[],
  { quick, say, signal }: Bench,
): Promise<Map<string, CommandUsage[]>> {
  const usages = new Map<string, CommandUsage[]>(subjects.map(({ name }) => [name, []]));
  // Many rounds are needed because the speed of a virtual machine varies.
  const rounds = quick ? 1 : 9;
  for (let round = 0; round <= rounds; round += 1) {
    for (const { name, send } of subjects) {
      signal.throwIfAborted();
      const usage = await send();
      say(`round ${round} of ${rounds}: ${name} ${usage.seconds.toFixed(2)} s`);
      if (round > 0) usages.get(name)?.push(usage);
    }
  }
  return usages;
}

function judge(usages: ReadonlyMap<string, CommandUsage[]>, sizeBytes: number): Omit<Findings, 'notes'> {
  const speeds = [...usages].map(([subject, samples]) => ({
    ...{ quantity: 'throughput', unit: 'MB/s', subject },
    samples: samples.map(({ seconds }) => sizeBytes / 1e6 / seconds),
  }));
  const costs = [...usages].map(([subject, samples]) => ({
    ...{ quantity: 'CPU time', unit: 's/GB', subject },
    samples: samples.map(({ cpuSeconds }) => (cpuSeconds * 1e9) / sizeBytes),
  }));
  const requirements = GOALS.flatMap(({ subject, peer, times }) => {
    const own = speeds.find((found) => found.subject === subject);
    // One peer may have several versions.
    return speeds
      .filter((found) => found.subject.startsWith(peer))
      .map((other) => ({
        text: `${subject}: throughput by that of ${other.subject}`,
        // Both samples of one round saw the machine in a similar state.
        measured: median((own?.samples ?? []).map((speed, round) => speed / (other.samples[round] ?? 0))),
        unit: '×',
        limit: { atLeast: times },
      }));
  });
  return { measurements: [...speeds, ...costs], requirements };
}
