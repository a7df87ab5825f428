import { FlagError, isJournal, type LogFormat, logFormats, readFlags } from '@backhaul/program';
import type { ObjectStoreOptions } from './object-store.ts';
import { STORAGE_CLASSES } from './operations/properties.ts';
import { isBucketName } from './storage/storage.ts';

/** A usage error; the message names the flag to change. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'serve';
      readonly options: ObjectStoreOptions;
      readonly exitWithStdin: boolean;
      readonly logFormat: LogFormat;
    };

/** Flags in the format of `parseArgs`. */
export const FLAGS = {
  port: { type: 'string' },
  data: { type: 'string' },
  'access-key': { type: 'string' },
  'secret-key': { type: 'string' },
  host: { type: 'string' },
  bucket: { type: 'string', multiple: true },
  region: { type: 'string' },
  'access-log': { type: 'string' },
  'log-format': { type: 'string' },
  'sweep-after': { type: 'string' },
  'exit-with-stdin': { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parseFlags(args: readonly string[]) {
  try {
    return readFlags(args, { program: 'backhaul-object-store', options: FLAGS });
  } catch (error) {
    throw error instanceof FlagError ? new UsageError(error.message) : error;
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

function readLogFormat(text: string | undefined): LogFormat {
  if (text === undefined) return process.stdout.isTTY ? 'human' : 'json';
  const format = logFormats.find((candidate) => candidate === text);
  if (format === undefined) throw new UsageError(`--log-format must be one of ${logFormats.join(', ')}.`);
  return format;
}

/** Whether a file descriptor is connected to systemd's journal. */
export function writesToJournal(fileDescriptor: 1 | 2): boolean {
  return isJournal(fileDescriptor, process.env['JOURNAL_STREAM']);
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
      `--bucket "${badBucket}" is not a bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens.`,
    );
  }
  const accessKey = flags['access-key'] ?? environment['BACKHAUL_STORE_ACCESS_KEY'];
  const secretKey = flags['secret-key'] ?? environment['BACKHAUL_STORE_SECRET_KEY'];
  return {
    kind: 'serve',
    exitWithStdin: flags['exit-with-stdin'] ?? false,
    logFormat: readLogFormat(flags['log-format']),
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

/** Output of `--help`: a manual page for 80 columns. */
export const HELP = `NAME
    backhaul-object-store - an S3-compatible store in one directory

SYNOPSIS
    backhaul-object-store --port PORT --data DIR --access-key KEY
        --secret-key SECRET [option]...

DESCRIPTION
    Serves the S3 API for demos, tests and single machines. When it listens,
    it prints a line of JSON with "event":"listening" and its address as
    "url". SIGTERM and SIGINT stop it gracefully.

    Unsupported requests, such as those for encryption, versions, tags and
    policies, get an error response. The storage class is only a label: it is
    stored and returned, but does not affect how bytes are stored. Its values
    are:

${STORAGE_CLASSES.map((name) => `        ${name}`).join('\n')}

OPTIONS
    --port PORT
        Port to listen on; 0 uses a free port and prints it.
    --data DIR
        Data directory. Only one process at a time can use it.
    --access-key KEY
        Access key.
    --secret-key SECRET
        Secret key. Prefer the environment variable: flags are visible in \`ps\`.
    --host HOST
        Address to listen on; by default 127.0.0.1, reachable only from this
        machine.
    --bucket NAME
        Create this bucket if it does not exist. May be repeated.
    --region REGION
        Region that signatures must contain; us-east-1 by default.
    --access-log FILE|-
        Append a line of JSON for each request; - means standard output.
    --log-format FORMAT
        Format of the line printed when it listens: human (default on a
        terminal) or json (default elsewhere).
    --sweep-after HOURS
        Abort multipart uploads older than this; 168 by default.
    --exit-with-stdin
        Stop when standard input closes, for example when the parent exits.
    --version
        Print the version.
    -h, --help
        Print this help.

ENVIRONMENT
    BACKHAUL_STORE_ACCESS_KEY
        Access key, used if --access-key is not given.
    BACKHAUL_STORE_SECRET_KEY
        Secret key, used if --secret-key is not given.

EXIT STATUS
    0   stopped by SIGTERM, SIGINT or the end of standard input
    1   failed to start, or stopped by an error
    2   invalid flags or environment, or DIR is in use or has other content

EXAMPLES
    backhaul-object-store --port 9000 --data ./store --access-key demo \\
        --secret-key demo-secret --bucket uploads

    BACKHAUL_STORE_ACCESS_KEY=demo BACKHAUL_STORE_SECRET_KEY=demo-secret \\
        backhaul-object-store --port 0 --data /tmp/store --exit-with-stdin
`;
