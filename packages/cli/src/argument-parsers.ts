import {
  clientIdSchema,
  filePathSchema,
  MAX_EXPIRES_IN_SECONDS,
  type Scope,
  scopeSchema,
  scopes,
  uploadIdSchema,
  uploadStatuses,
} from '@backhaul/protocol';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { parseDurationSeconds } from './duration.ts';

export const clientIdArgument = () =>
  new Argument('<client>', "the machine's client_id").argParser(parseClientId);

export const uploadIdArgument = () => new Argument('<id>', 'the upload_id').argParser(parseUploadId);

export const clientIdOption = (description = "the machine's client_id") =>
  new Option('--client-id <id>', description).argParser(parseClientId);

export const statusOption = () =>
  new Option('--status <status>', 'only uploads with this status').choices(uploadStatuses);

export interface PagingOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

export const pagingOptions = () => [
  new Option('--limit <n>', 'records in the answer, 1 to 500 (default: 50)').argParser(parseLimit),
  new Option('--cursor <cursor>', 'go on after a page, by its next_cursor (see --json)').conflicts('all'),
  new Option('--all', 'every record, page by page'),
];

function parseClientId(text: string): string {
  const parsed = clientIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(
    'A client_id is 1 to 64 letters, digits, dots, underscores and hyphens, and starts with a letter or digit.',
  );
}

export function parseUploadId(text: string): string {
  const parsed = uploadIdSchema.safeParse(text.toLowerCase());
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('An upload_id is a UUIDv7, as "backhaul uploads" prints it.');
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

/** The header's own characters, and no more than the server keeps. */
export function parseIdempotencyKey(text: string): string {
  if (/^[\u0021-\u007e]{1,255}$/.test(text)) return text;
  throw new InvalidArgumentError('A key is 1 to 255 ASCII characters without spaces.');
}

/** Seconds. */
export function parseDuration(text: string): number {
  const seconds = parseDurationSeconds(text);
  if (seconds !== undefined) return seconds;
  throw new InvalidArgumentError('A duration is a number with s, m, h or d, such as 90m, 12h or 30d.');
}

/** Seconds, as a trigger takes them. */
export function parseExpiresIn(text: string): number {
  const seconds = parseDuration(text);
  if (seconds <= MAX_EXPIRES_IN_SECONDS) return seconds;
  throw new InvalidArgumentError('A pull may take 30d at most.');
}

export function parseScopes(text: string): Scope[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const parsed = words.map((word) => scopeSchema.safeParse(word));
  if (words.length === 0 || parsed.some(({ success }) => !success)) {
    throw new InvalidArgumentError(`Scopes are some of ${scopes.join(', ')}, separated by commas.`);
  }
  return [...new Set(parsed.flatMap(({ data }) => (data === undefined ? [] : [data])))];
}

export function parseSubject(text: string): string {
  if (text.length >= 1 && text.length <= 200) return text;
  throw new InvalidArgumentError('A subject has 1 to 200 characters.');
}

export function parseLabel(text: string): string {
  if (/^[^=]+=.*$/.test(text)) return text;
  throw new InvalidArgumentError('A label filter is written name=value.');
}

export function parseLimit(text: string): number {
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= 500) return limit;
  throw new InvalidArgumentError('A limit is a whole number from 1 to 500; for more, use --all.');
}
