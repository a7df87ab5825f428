import {
  clientIdSchema,
  filePathSchema,
  MAX_EXPIRES_IN_SECONDS,
  MIN_RATE,
  parseByteRate,
  type Scope,
  scopeSchema,
  scopes,
  uploadIdSchema,
  type UploadLimits,
  uploadLimitsSchema,
  uploadStatuses,
} from '@backhaul/protocol';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { parseDurationSeconds } from './duration.ts';

export const uploadIdArgument = () =>
  new Argument('<id>', 'the upload_id, or a prefix of it that matches only one upload').argParser(
    parseUploadId,
  );

export const clientIdOption = (description: string) =>
  new Option('--client-id <id>', description).argParser(parseClientId);

export const overwriteOption = () =>
  new Option(
    '--overwrite',
    'replace the file at --output if it exists (never a file whose name comes only from the agent)',
  );

export const statusOption = () =>
  new Option('--status <status>', 'only uploads with this status').choices(uploadStatuses);

export interface PagingOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

export const pagingOptions = () => [
  new Option('--limit <n>', 'records per page, 1 to 500 (default: 50)').argParser(parseLimit),
  new Option('--cursor <cursor>', 'start after a page: its next_cursor (see --json)').conflicts('all'),
  new Option('--all', 'fetch all pages'),
];

export function parseClientId(text: string): string {
  const parsed = clientIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(
    'A client_id is 1 to 64 letters, digits, dots, underscores and hyphens, and starts with a letter or digit.',
  );
}

/** Accepts a whole upload_id or its first 4 or more characters. */
export function parseUploadId(text: string): string {
  const id = text.toLowerCase();
  if (uploadIdSchema.safeParse(id).success || /^[0-9a-f-]{4,35}$/.test(id)) return id;
  throw new InvalidArgumentError(
    'An upload_id is a UUIDv7, as "backhaul uploads" prints it, or at least its first 4 characters.',
  );
}

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

export function parseLimit(text: string): number {
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= 500) return limit;
  throw new InvalidArgumentError('A limit is a whole number from 1 to 500; for more, use --all.');
}
