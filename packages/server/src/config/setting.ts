import { rangeList } from '@backhaul/program';
import { S3_MAX_PART_BYTES, S3_MAX_PARTS } from '@backhaul/protocol';
import { z } from 'zod';

/** A row of the table of settings. */
export interface Setting {
  readonly schema: SettingSchema;
  /** Spelled as in the environment. */
  readonly default?: string;
  /** Behaviour without the setting, if there is no fixed default. */
  readonly unset?: string;
  /** Condition under which it has to be set. */
  readonly required?: string;
  /** If true, the value is never shown. */
  readonly secret: boolean;
  /** Name of the flag, without the leading dashes. */
  readonly flag?: 'port' | 'host';
  /** One or more whole sentences. */
  readonly description: string;
  readonly example: string;
}

export type SettingRows = Readonly<Record<string, Setting>>;

/*
 * Schemas that convert a setting's text to its value. Each has one message for all errors, which continues "NAME …"
 * and never repeats the value: only `read-settings.ts` decides whether the value may be shown.
 */

type SettingSchema = z.ZodType<unknown, string>;

/** @param read Returns undefined for an invalid text. */
function textRead<T>(read: (text: string) => T | undefined, complaint: string) {
  return z.string().transform((text, context): T => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: complaint });
    return z.NEVER;
  });
}

export const anyText = z.string();

/**
 * An access key or secret key. A file with Windows line ends, or a paste, may leave an invisible character at the end,
 * which makes the secret wrong for the store.
 */
export const credential = z
  .string()
  .regex(
    /^(?!\s)[^\p{Cc}]+(?<!\s)$/u,
    'must not begin or end with white space and must not contain control characters, such as the carriage return at the end of a Windows line',
  );

export function matching(pattern: RegExp, complaint: string) {
  return z.string().regex(pattern, complaint);
}

export function wholeNumber(min: number, max: number) {
  return textRead((text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  }, `must be a whole number from ${min} to ${max}`);
}

export function oneOf<const Word extends string>(words: readonly Word[]) {
  return textRead(
    (text) => words.find((word) => word === text),
    `must be one of ${words.map((word) => `"${word}"`).join(', ')}`,
  );
}

export const trueOrFalse = textRead(
  (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
  'must be "true" or "false"',
);

const sizeUnits = {
  '': 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** Bytes, up to the largest object that S3 accepts in parts: 10,000 × 5 GiB. */
export const fileSize = textRead((text) => {
  const [, digits, unit = ''] = /^(\d{1,15}) ?([KMGT]i?B)?$/.exec(text) ?? [];
  const bytes = Number(digits) * sizeUnits[unit as keyof typeof sizeUnits];
  return bytes >= 1 && bytes <= S3_MAX_PARTS * S3_MAX_PART_BYTES ? bytes : undefined;
}, 'must be a number of bytes, or a whole number of KiB, MiB, GiB, TiB, KB, MB, GB or TB such as "10GiB", and at most S3’s limit of 50000GiB');

/** @returns The address without a trailing slash. */
export const serviceAddress = textRead((text) => {
  const url = webAddress(text);
  const bare = url?.search === '' && url.hash === '' && url.username === '' && url.password === '';
  return url !== undefined && bare ? url.href.replace(/\/+$/, '') : undefined;
}, 'must be an http:// or https:// address with neither a user name nor a query');

/** Addresses and ranges in CIDR notation. */
export const addressRanges = textRead((text) => {
  const ranges = text.split(/[\s,]+/).filter((range) => range !== '');
  return rangeList(ranges) === null ? undefined : ranges;
}, 'must be addresses or ranges such as 10.0.0.0/8, separated by commas or spaces');

/** An attacker who can change the key set can sign tokens, so TLS is required over the network. */
export const keySetAddress = textRead((text) => {
  const url = webAddress(text);
  const loopback = url !== undefined && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  return url?.protocol === 'https:' || loopback ? url : undefined;
}, 'must be an https:// address (http:// only on this machine)').transform((url) => url.href);

function webAddress(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}

/** @returns The path after `sqlite:`, not resolved. */
export const sqliteAddress = z
  .string()
  .refine(
    (text) => !/^postgres(ql)?:/.test(text),
    'names PostgreSQL, which this version does not support; use sqlite:PATH',
  )
  .pipe(
    textRead(
      (text) => /^sqlite:(?!\/\/|:memory:$)(.*[^/\\])$/s.exec(text)?.[1],
      'must be sqlite:PATH, with the path of a file',
    ),
  );

/** Names that S3 allows; texts that look like an address or an ARN are refused. */
export const bucketName = matching(
  /^(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  'must be a bucket’s name: 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends',
);

/** Segments of safe characters; a dot segment would be normalised away by URL parsers after signing. */
export const keyPrefix = textRead(
  (text) =>
    /^(?!\.+(\/|$))[A-Za-z0-9._-]+(\/(?!\.+(\/|$))[A-Za-z0-9._-]+)*\/?$/.test(text) && text.length <= 512
      ? text.replace(/\/$/, '')
      : undefined,
  'must be letters, digits, dots, underscores and hyphens, in segments separated by "/", with none at the start',
);

/** Encryption to request from the store; null requests none. */
export const encryption = oneOf(['AES256', 'aws:kms', 'aws:kms:dsse', 'none']).transform(nullForNone);

/** Stores have their own classes, so the schema checks only the spelling, and that the object stays readable. */
export const storageClass = z
  .string()
  .regex(
    /^([A-Z0-9_]{1,64}|none)$/,
    'must be a storage class such as STANDARD or INTELLIGENT_TIERING, or "none"',
  )
  .refine(
    (text) => text !== 'GLACIER' && text !== 'DEEP_ARCHIVE',
    'must be a class whose objects can be read immediately; use a lifecycle rule to archive them',
  )
  .transform(nullForNone);

function nullForNone<Word extends string>(word: Word): Exclude<Word, 'none'> | null {
  return word === 'none' ? null : (word as Exclude<Word, 'none'>);
}
