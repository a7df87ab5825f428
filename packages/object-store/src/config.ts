import { parseArgs } from 'node:util';
import type { ObjectStoreOptions } from './object-store.ts';
import { STORAGE_CLASSES } from './request/properties.ts';
import { isBucketName } from './storage/storage.ts';

/** A mistake on the command line; the message names the flag to change. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve'; readonly options: ObjectStoreOptions; readonly exitWithStdin: boolean };

export const HELP = `backhaul-object-store: an S3-compatible store in one directory, for demos, tests and single machines.

Usage: backhaul-object-store --port PORT --data DIR --access-key KEY --secret-key SECRET [options]

  --port PORT            port to listen on; 0 takes a free one, told on standard output
  --data DIR             where everything is kept; one process at a time may use it
  --access-key KEY       the one access key    (or BACKHAUL_STORE_ACCESS_KEY)
  --secret-key SECRET    its secret            (or BACKHAUL_STORE_SECRET_KEY; flags show in ps)
  --host HOST            address to listen on; default 127.0.0.1, this machine only
  --bucket NAME          create this bucket unless it exists; may be repeated
  --region REGION        region that signatures must name; default us-east-1
  --access-log FILE|-    append a line of JSON for each request; - is standard output
  --sweep-after HOURS    abort multipart uploads older than this; default 168
  --exit-with-stdin      stop when standard input closes, so that no parent leaves it behind
  --version, --help

Once it listens it prints {"event":"listening","url":"http://HOST:PORT"}. SIGTERM and SIGINT stop it in good order.

What it does not do, it refuses: encryption, versions, tags, policies and the like are answered with an error.
The storage class is a label: one of ${STORAGE_CLASSES.join(', ')}
is stored and shown, and changes nothing about how or where bytes are kept.

Examples:
  backhaul-object-store --port 9000 --data ./store --access-key demo --secret-key demo-secret --bucket uploads
  BACKHAUL_STORE_ACCESS_KEY=demo BACKHAUL_STORE_SECRET_KEY=demo-secret \\
    backhaul-object-store --port 0 --data /tmp/store --exit-with-stdin
`;

const FLAGS = {
  port: { type: 'string' },
  data: { type: 'string' },
  'access-key': { type: 'string' },
  'secret-key': { type: 'string' },
  host: { type: 'string' },
  bucket: { type: 'string', multiple: true },
  region: { type: 'string' },
  'access-log': { type: 'string' },
  'sweep-after': { type: 'string' },
  'exit-with-stdin': { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function numberFlag(
  flag: string,
  text: string,
  range: { readonly min: number; readonly max: number },
): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.min && value <= range.max)) {
    throw new UsageError(`${flag} must be a number from ${range.min} to ${range.max}, not "${text}".`);
  }
  return value;
}

function required(value: string | undefined, names: string): string {
  if (value === undefined || value === '') throw new UsageError(`${names} is missing.`);
  return value;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UsageError */
export function readCommand(args: readonly string[], environment: Environment = process.env): Command {
  const flags = parseFlags(args);
  if (flags.help === true) return { kind: 'help' };
  if (flags.version === true) return { kind: 'version' };
  const port = numberFlag('--port', required(flags.port, '--port'), { min: 0, max: 65_535 });
  if (!Number.isInteger(port)) throw new UsageError('--port must be a whole number.');
  const badBucket = flags.bucket?.find((name) => !isBucketName(name));
  if (badBucket !== undefined) {
    throw new UsageError(
      `--bucket "${badBucket}" is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens.`,
    );
  }
  const accessKey = flags['access-key'] ?? environment['BACKHAUL_STORE_ACCESS_KEY'];
  const secretKey = flags['secret-key'] ?? environment['BACKHAUL_STORE_SECRET_KEY'];
  return {
    kind: 'serve',
    exitWithStdin: flags['exit-with-stdin'] ?? false,
    options: {
      port,
      dataDir: required(flags.data, '--data'),
      accessKey: required(accessKey, '--access-key (or BACKHAUL_STORE_ACCESS_KEY)'),
      secretKey: required(secretKey, '--secret-key (or BACKHAUL_STORE_SECRET_KEY)'),
      ...(flags.host !== undefined && { host: flags.host }),
      ...(flags.region !== undefined && { region: flags.region }),
      ...(flags.bucket !== undefined && { buckets: flags.bucket }),
      ...(flags['access-log'] !== undefined && { accessLog: flags['access-log'] }),
      sweepAfterHours: numberFlag('--sweep-after', flags['sweep-after'] ?? '168', { min: 0, max: 1_000_000 }),
    },
  };
}
