import { median } from '../quantile.ts';
import type { Experiment } from '../experiment.ts';
import { SideProcess } from '../side-process/side-process.ts';
import type { SigningOrder, SigningReport } from './signing-order.ts';

const SUBJECTS = [
  { name: 'Backhaul', signer: 'backhaul' },
  { name: '@aws-sdk/s3-request-presigner', signer: 'aws-sdk' },
] as const;

const BOUND = 'content-length;host;x-amz-checksum-crc32';

export const signing: Experiment = {
  name: 'signing',
  title: 'Part URLs signed on one core',
  about:
    'One process signs URLs of parts, one after another. Part number, length and CRC32 are in each signature, the ' +
    'credentials are temporary, and the host is that of a bucket at AWS. Rounds in turns. Counted in the ' +
    'CPU time of all its threads.',
  async run({ quick, say, signal }) {
    const count = quick ? 500 : 20_000;
    const rounds = quick ? 1 : 5;
    const samples = new Map<string, number[]>(SUBJECTS.map(({ name }) => [name, []]));
    await using process = new SideProcess<SigningOrder>(new URL('signing-main.ts', import.meta.url));
    // The first round is a warm-up.
    for (let round = 0; round <= rounds; round += 1) {
      for (const { name, signer } of SUBJECTS) {
        const { cpuSeconds, url } = await process.order<SigningReport>({ signer, count }, { signal });
        const signed = new URL(url).searchParams.get('X-Amz-SignedHeaders');
        if (signed !== BOUND) throw new Error(`${name} signed ${signed} instead of ${BOUND}`);
        say(
          `round ${round} of ${rounds}: ${name} ${Math.round(count / cpuSeconds)} URLs a second of CPU time`,
        );
        if (round > 0) samples.get(name)?.push(count / cpuSeconds);
      }
    }
    return {
      measurements: [...samples].map(([subject, speeds]) => ({
        ...{ quantity: 'signed part URLs', unit: 'URLs/s of CPU time', subject, samples: speeds },
      })),
      requirements: [
        {
          text: 'part URLs signed on one core',
          measured: median(samples.get('Backhaul') ?? []),
          ...{ unit: 'URLs/s of CPU time', limit: { atLeast: 10_000 } },
        },
      ],
      notes: [],
    };
  },
};
