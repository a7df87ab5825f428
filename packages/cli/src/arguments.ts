import {
  filePathSchema,
  MAX_EXPIRES_IN_SECONDS,
  MIN_RATE,
  parseByteRate,
  type Scope,
  scopes,
  scopeSchema,
  type UploadLimits,
  uploadLimitsSchema,
} from '@backhaul/protocol';
import { InvalidArgumentError, Option } from 'commander';

/** Accepted before and after the command. */
export const globalOptions: readonly Option[] = [
  new Option('--url <url>', 'address of the server (environment: BACKHAUL_URL)'),
  new Option('--token <token>', 'operator token (prefer BACKHAUL_TOKEN: flags are visible in ps)'),
  new Option('--insecure', 'allow http:// to another machine: anyone on the network path can read the token'),
  new Option(
    '--ca-file <file>',
    'CA certificates (PEM) to trust, e.g. of a private authority or of a proxy that inspects TLS; may be repeated',
  )
    .argParser<readonly string[]>((file, files) => [...files, file])
    .default([], 'none'),
  new Option('--json', 'print JSON'),
];

export const helpOption = new Option('--help', 'print this help');

/** Accepted only without a command. */
export const versionOption = new Option('--version', 'print the version');

export const overwriteOption = () =>
  new Option(
    '--overwrite',
    'replace the file at --output if it exists (never a file whose name comes only from the agent)',
  );

export function parseFilePath(text: string): string {
  const parsed = filePathSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(`${parsed.error.issues[0]?.message ?? 'not a file path'}.`);
}

export function parseReason(text: string): string {
  if (text.length >= 1 && text.length <= 500) return text;
  throw new InvalidArgumentError('A reason has 1 to 500 characters.');
}

/** The characters allowed in the header, up to the length that the server stores. */
export function parseIdempotencyKey(text: string): string {
  if (/^[\u0021-\u007e]{1,255}$/.test(text)) return text;
  throw new InvalidArgumentError('A key is 1 to 255 ASCII characters without spaces.');
}

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** Converts `90m`, `12h`, `30d` or `45s` to seconds; undefined for any other text. */
export function parseDurationSeconds(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null) return undefined;
  const [, amount, unit] = match;
  const seconds = Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  return seconds > 0 ? seconds : undefined;
}

/** Returns seconds. */
export function parseDuration(text: string): number {
  const seconds = parseDurationSeconds(text);
  if (seconds !== undefined) return seconds;
  throw new InvalidArgumentError('A duration is a number with s, m, h or d, such as 90m, 12h or 30d.');
}

/** Returns seconds, within the maximum of `expires_in`. */
export function parseExpiresIn(text: string): number {
  const seconds = parseDuration(text);
  if (seconds <= MAX_EXPIRES_IN_SECONDS) return seconds;
  throw new InvalidArgumentError('The maximum is 30d.');
}

export function parseScopes(text: string): Scope[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const parsed = words.map((word) => scopeSchema.safeParse(word));
  if (words.length === 0 || parsed.some(({ success }) => !success)) {
    throw new InvalidArgumentError(`Use one or more of ${scopes.join(', ')}, separated by commas.`);
  }
  return [...new Set(parsed.flatMap(({ data }) => (data === undefined ? [] : [data])))];
}

export function parseSubject(text: string): string {
  if (text.length >= 1 && text.length <= 200) return text;
  throw new InvalidArgumentError('A subject has 1 to 200 characters.');
}

/** Parser of a flag that may be repeated: collects all values. */
export function parseLabels(text: string, before: readonly string[] = []): readonly string[] {
  if (/^[^=]+=.*$/.test(text)) return [...before, text];
  throw new InvalidArgumentError('A label filter is written name=value.');
}

export function parallelPartsOption(): Option {
  return new Option(
    '--parallel-parts <n>',
    'maximum parts in flight; cannot exceed the limit set on the agent’s machine',
  ).argParser((text) => {
    const parsed = uploadLimitsSchema.shape.parallel_parts.safeParse(Number(text));
    if (/^\d{1,2}$/.test(text) && parsed.success) return parsed.data;
    throw new InvalidArgumentError('Give a whole number from 1 to 64.');
  });
}

export function maxRateOption(): Option {
  return new Option(
    '--max-rate <rate>',
    'maximum bytes per second, e.g. 250000, 512k or 2M; cannot exceed the limit set on the agent’s machine',
  ).argParser((text) => {
    const rate = parseByteRate(text);
    if (rate !== undefined) return rate;
    throw new InvalidArgumentError(
      `A rate is ${MIN_RATE} bytes per second or more, such as 250000, 512k or 2M.`,
    );
  });
}

/** Returns null if no limit is given. */
export function limitsOf({
  parallelParts,
  maxRate,
}: {
  readonly parallelParts?: number | undefined;
  readonly maxRate?: number | undefined;
}): UploadLimits | null {
  if (parallelParts === undefined && maxRate === undefined) return null;
  return {
    ...(parallelParts !== undefined && { parallel_parts: parallelParts }),
    ...(maxRate !== undefined && { max_rate: maxRate }),
  };
}
