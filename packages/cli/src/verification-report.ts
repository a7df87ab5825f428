import { type ObjectVerification, printable, type UploadRecord } from '@backhaul/protocol';
import type { Output } from './output.ts';

const WIDTH = 'altered'.length;

/** One comparison; `ok` is null if a value is missing on either side. */
export interface Check {
  readonly name: string;
  readonly ok: boolean | null;
  readonly expected: string | null;
  readonly found: string | null;
}

/** The server's result, extended by the checks of the content. */
export interface VerificationReport extends ObjectVerification {
  /** Null if the object was not read. */
  readonly content: { readonly checks: readonly Check[] } | null;
}

export function reportOf(
  found: ObjectVerification,
  contentChecks: readonly Check[] | undefined,
): VerificationReport {
  if (contentChecks === undefined) return { ...found, content: null };
  return {
    ...found,
    verdict: contentChecks.some(differs) ? 'altered' : found.verdict,
    content: { checks: contentChecks },
  };
}

/** Names of the checks that prove that the object cannot be the file. */
const decisive: ReadonlySet<string> = new Set(['token', 'size']);

/** Reading is pointless if token or size differ. */
export function isWorthReading({ checks }: ObjectVerification): boolean {
  return !checks.some((check) => differs(check) && decisive.has(check.name));
}

/** Names of the checks that differ, including those of the content. */
export function differences({ checks, content }: VerificationReport): string[] {
  return [
    ...checks.filter(differs).map(({ name }) => name),
    ...(content?.checks ?? []).filter(differs).map(({ name }) => `content ${name}`),
  ];
}

function differs({ ok }: Check): boolean {
  return ok === false;
}

/** Prints a line per check; checks without a value on both sides are skipped. */
export function printChecks(output: Output, checks: readonly Check[], subject = ''): void {
  for (const check of checks) {
    const [style, word, detail] = describe(check);
    if (detail !== undefined) line(output, [style, word], `${subject}${check.name}: ${detail}`);
  }
}

/** Prints the overall result as the last line. */
export function printResult(output: Output, record: UploadRecord, report: VerificationReport): void {
  const { verdict } = report;
  const object = `s3://${record.bucket}/${record.key}`;
  const superseded = keySentence(record, report);
  if (superseded !== undefined) line(output, ['yellow', 'note'], superseded);
  if (verdict !== 'intact') {
    line(output, ['red', verdict], object);
    return;
  }
  const { description, isWeak } = verificationLevel(report);
  line(output, ['green', verdict], `${object} (${description})`);
  if (isWeak)
    output.line(
      `${' '.repeat(WIDTH)}  → to be sure, read the object: backhaul verify ${record.upload_id} --content`,
    );
}

/** How an intact object was verified, and whether reading it would be stronger proof. */
function verificationLevel({ verification, content }: VerificationReport): {
  description: string;
  isWeak: boolean;
} {
  if (content !== null) {
    const strongest = content.checks.findLast(({ ok }) => ok === true);
    const description = `content read, ${strongest === undefined ? 'not verified' : `verified by ${strongest.name}`}`;
    return { description, isWeak: false };
  }
  switch (verification) {
    case 'full_object':
      return { description: 'verified by the store’s checksum of the whole object', isWeak: false };
    case 'parts':
      return {
        description: 'verified by size and ETag: the store has no checksum of the whole object',
        isWeak: true,
      };
    case 'size_only':
    case null:
      return { description: 'verified by size only', isWeak: true };
    default:
      // Added by a later version of the server.
      return { description: `verified by ${verification}`, isWeak: true };
  }
}

const keyStates: ReadonlyMap<string, string> = new Map([
  ['other', 'the key now holds another object'],
  ['nothing', 'the key was deleted'],
]);

/** A note for when the recorded version still exists, but is no longer the current object at its key. */
function keySentence({ version_id: version }: UploadRecord, report: VerificationReport): string | undefined {
  const isThere = report.checks.some(({ name, ok }) => name === 'token' && ok === true);
  if (!isThere || report.key_state === undefined || report.key_state === 'recorded') return undefined;
  const key = keyStates.get(report.key_state) ?? `the key is ${report.key_state}`;
  return `${key}; the recorded version${version === null ? '' : ` ${version}`} still exists`;
}

type Mark = readonly [style: 'green' | 'red' | 'yellow', word: string];

function line(output: Output, [style, word]: Mark, text: string): void {
  output.line(`${output.paint(style, word.padEnd(WIDTH))}  ${printable(text)}`);
}

function describe({ name, ok, expected, found }: Check): [...Mark, detail: string | undefined] {
  // The token itself is not shown, only whether it matches.
  const isToken = name === 'token';
  switch (ok) {
    case true:
      return ['green', 'ok', isToken ? 'the object belongs to this upload' : (found ?? '')];
    case false:
      return [
        'red',
        'differs',
        isToken ? 'the object does not belong to this upload' : `${found}, recorded: ${expected}`,
      ];
    case null:
      if (expected !== null) return ['yellow', '–', `not reported by the store; recorded: ${expected}`];
      return ['yellow', '–', found === null ? undefined : `${found}, not recorded`];
  }
}
