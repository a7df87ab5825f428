import { parseArgs } from 'node:util';

export const help = `Usage: npm run soak:versions [-- OPTIONS]

Pulls files that are being changed, on four file systems: ext4 with timestamps of whole seconds, ext4, tmpfs and FUSE.
Every object that is \`completed\` must be what its file held at some one moment. Exits 1 if a single one is not, and
also if nothing was completed on a file system, nothing was found changed, or on ext4 nothing by timestamps alone.
Mounts in a name space of its own (Linux, as root), with mkfs.ext4 and a Python that has fusepy; the mounts are gone
afterwards.

  --seconds N         on each file system, by default 20
  --seed N            makes the same choices again, though at moments that differ; by default by the clock
  --allow-no-mounts   leave out a file system that cannot be mounted here, instead of exiting 1
  --help              this text

Environment:
  FUSEPY              a Python with the package fusepy, by default python3
`;

export interface VersionSoakOptions {
  readonly seconds: number;
  /** A whole number below 2³². */
  readonly seed: number;
  readonly allowNoMounts: boolean;
}

/** @returns undefined if only the help was requested. @throws Error that names what to change. */
export function parseVersionSoakOptions(argv: readonly string[]): VersionSoakOptions | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: 'string', default: '20' },
      seed: { type: 'string' },
      'allow-no-mounts': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= 100_000)) throw new Error('--seconds is a number above 0, at most 100000');
  const seed = Number(values.seed ?? Date.now() % 2 ** 32);
  if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new Error('--seed is a whole number from 0 to 4294967295');
  }
  return { seconds, seed, allowNoMounts: values['allow-no-mounts'] };
}
