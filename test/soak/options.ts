import { parseArgs } from 'node:util';

export const help = `Usage: npm run soak [-- OPTIONS]

Pulls files through a server, a store and several agents, each a process of its own, while at random they are killed,
stopped and cut off, calls of the store fail, and files change. In the end every upload is looked at: exits 1, and
keeps the logs, if a single one did not end as it should.

  --minutes N   how long faults go on, by default 10; then all has some minutes to come to its end
  --seed N      makes the same choices again, though at moments that differ; by default by the clock
  --agents N    by default 4, 16 at most
  --help        this text

Examples:
  npm run soak
  npm run soak -- --minutes 60 --seed 4711
`;

export interface SoakOptions {
  readonly minutes: number;
  /** A whole number below 2³². */
  readonly seed: number;
  readonly agents: number;
}

/** @returns undefined if only the help was requested. @throws Error that names what to change. */
export function parseSoakOptions(argv: readonly string[]): SoakOptions | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      agents: { type: 'string', default: '4' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 10_000)) throw new Error('--minutes is a number above 0, at most 10000');
  const seed = Number(values.seed ?? Date.now() % 2 ** 32);
  if (!isWhole(seed, 0, 2 ** 32 - 1)) throw new Error('--seed is a whole number from 0 to 4294967295');
  const agents = Number(values.agents);
  if (!isWhole(agents, 1, 16)) throw new Error('--agents is a whole number from 1 to 16');
  return { minutes, seed, agents };
}

function isWhole(value: number, from: number, to: number): boolean {
  return Number.isInteger(value) && value >= from && value <= to;
}
