import { resolve } from 'node:path';
import { FlagError, readFlags } from '@backhaul/program';
import { labelsSchema } from '@backhaul/protocol';
import { RateTimetable } from './transfer/rate-timetable.ts';

/** A usage error; the message names the flag and the fix. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Flags in the format of `parseArgs`. */
export const flagOptions = {
  'client-id': { type: 'string' },
  'server-url': { type: 'string' },
  token: { type: 'string' },
  'token-file': { type: 'string' },
  'state-directory': { type: 'string' },
  'ca-file': { type: 'string', multiple: true },
  'client-cert': { type: 'string' },
  'client-key': { type: 'string' },
  insecure: { type: 'boolean' },
  label: { type: 'string', multiple: true },
  file: { type: 'string', multiple: true },
  allow: { type: 'string', multiple: true },
  'roots-are-private': { type: 'boolean' },
  'allow-hard-links': { type: 'boolean' },
  'max-file-size': { type: 'string' },
  'allow-storage': { type: 'string', multiple: true },
  'max-rate': { type: 'string' },
  'max-uploads': { type: 'string' },
  'parallel-parts': { type: 'string' },
  'no-sha256': { type: 'boolean' },
  'log-level': { type: 'string' },
  'log-format': { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws UsageError, as all functions below */
export function parseFlags(argv: readonly string[]) {
  try {
    return readFlags(argv, { program: 'backhaul-agent', options: flagOptions });
  } catch (error) {
    throw error instanceof FlagError ? new UsageError(error.message) : error;
  }
}

export function readPath(flag: string, path: string, cwd: string): string {
  if (path === '' || path.includes('\0')) throw new UsageError(`${flag} requires a path.`);
  return resolve(cwd, path);
}

export function readInteger(
  flag: string,
  text: string | undefined,
  { min, max = Number.MAX_SAFE_INTEGER }: { min: number; max?: number },
): number | null {
  if (text === undefined) return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
  throw new UsageError(`${flag} must be a whole number, ${range}, without a unit.`);
}

export function readChoice<const Choice extends string>(
  flag: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | null {
  if (text === undefined) return null;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw new UsageError(`${flag} must be one of ${choices.join(', ')}.`);
  return choice;
}

export function readOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const bare =
    url !== null && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (url === null || !bare || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new UsageError(
      '--allow-storage must be an origin such as https://my-bucket.s3.eu-central-1.amazonaws.com, without a path.',
    );
  }
  return url.origin;
}

export function readLabels(pairs: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError('--label must be KEY=VALUE, e.g. --label site=berlin.');
    const key = pair.slice(0, at);
    if (Object.hasOwn(labels, key)) throw new UsageError(`--label ${key} is given twice: remove one.`);
    labels[key] = pair.slice(at + 1);
  }
  const parsed = labelsSchema.safeParse(labels);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    '--label: at most 32 labels; a key is 1 to 64 letters, digits and . _ / -, a value at most 256 characters.',
  );
}

/** @returns The rate in bytes per second at a given time; null for no limit. */
export function readRate(text: string | undefined): ((at: Date) => number | null) | null {
  if (text === undefined) return null;
  const timetable = RateTimetable.parse(text);
  if ('problem' in timetable) throw new UsageError(`--max-rate: ${timetable.problem}.`);
  return (at) => timetable.at(at);
}
