import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { randomFile } from '../../test/harness/random-file.ts';
import { Stage } from '../../test/harness/stage.ts';
import type { Experiment } from '../experiment.ts';
import { processUsage } from '../../test/harness/process-usage.ts';
import { type StageTime, timeline } from './timeline.ts';

const MiB = 1024 * 1024;
const CLIENT_ID = 'stages';

interface Round {
  readonly times: readonly StageTime[];
  readonly storeCpuSeconds: number;
}

export const stages: Experiment = {
  name: 'stages',
  title: 'Where the time of one pull goes',
  about:
    'backhaul download --output of 100 MiB, from the start of the command to its end, when the copy is on disk and ' +
    'its SHA-256 was compared; with the embedded store, which keeps the parts and the object on disk. By stages, each ' +
    'of which ends where the next begins, as told by the store’s access log and the record of the upload.',
  async run({ quick, directory, say, signal }) {
    const sizeBytes = (quick ? 16 : 100) * MiB;
    const file = directory.join('file.bin');
    const sha256 = await randomFile(file, sizeBytes);
    await using stage = await Stage.start({ compiled: true });
    await stage.startAgent(CLIENT_ID, ['--file', file]);
    const rounds: Round[] = [];
    const count = quick ? 2 : 7;
    // The first round is a warm-up and is not counted.
    for (let round = 0; round <= count; round += 1) {
      signal.throwIfAborted();
      const found = await pullByStages(stage, { output: directory.join('copy.bin'), sha256 });
      say(`round ${round} of ${count}: ${totalMs(found).toFixed(0)} ms`);
      if (round > 0) rounds.push(found);
    }
    const stageNames = rounds[0]?.times.map(({ stage: name }) => name) ?? [];
    return {
      measurements: [
        ...stageNames.map((subject, at) => ({
          ...{ quantity: 'stage time', unit: 'ms', subject },
          samples: rounds.map(({ times }) => times[at]?.ms ?? Number.NaN),
        })),
        { quantity: 'whole command', unit: 'ms', subject: 'Backhaul', samples: rounds.map(totalMs) },
        {
          ...{ quantity: 'CPU time of the store', unit: 'ms', subject: 'Backhaul, embedded store' },
          samples: rounds.map(({ storeCpuSeconds }) => storeCpuSeconds * 1000),
        },
      ],
      requirements: [],
      notes: [],
    };
  },
};

function totalMs({ times }: Round): number {
  return times.reduce((sum, { ms }) => sum + ms, 0);
}

async function pullByStages(
  stage: Stage,
  { output, sha256 }: { output: string; sha256: string },
): Promise<Round> {
  const pid = stage.s3.embedded?.pid;
  if (pid === undefined)
    throw new Error('only the embedded store tells when it was asked: unset S3_TEST_ENDPOINT');
  const { cpuSeconds: cpuBefore } = await processUsage(pid);
  const startedAtMs = Date.now();
  const { code, stderr } = await stage.cli('download', '--client-id', CLIENT_ID, '--output', output);
  const endedAtMs = Date.now();
  if (code !== 0) throw new Error(`backhaul download ended with ${code}: ${stderr}`);
  const { cpuSeconds } = await processUsage(pid);
  const record = (await stage.client.getStatus(CLIENT_ID)).last_upload;
  if (record === null) throw new Error('the server knows of no upload');
  const found = await sha256Of(output);
  if (found !== sha256) throw new Error(`the copy differs: ${found} instead of ${sha256}`);
  await rm(output);
  const requests = (await stage.storeRequests()).filter(({ key }) => key === record.key);
  return {
    times: timeline({ startedAtMs, endedAtMs }, record, requests),
    storeCpuSeconds: cpuSeconds - cpuBefore,
  };
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
