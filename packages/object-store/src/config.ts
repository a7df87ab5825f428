import { FlagError, isJournal, type LogFormat, logFormats, readFlags } from '@backhaul/program';
import type { ObjectStoreOptions } from './object-store.ts';
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
