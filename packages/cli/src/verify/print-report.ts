import { type UploadRecord, printable } from '@backhaul/protocol';
import type { Output } from '../output.ts';
import { type Check, verificationLevel, type VerificationReport } from './verification-report.ts';

const WIDTH = 'altered'.length;

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

/** A note for when the recorded version still exists, but is no longer the current object at its key. */
function keySentence({ version_id: version }: UploadRecord, report: VerificationReport): string | undefined {
  const isThere = report.checks.some(({ name, ok }) => name === 'token' && ok === true);
  if (!isThere || report.key_state === undefined || report.key_state === 'recorded') return undefined;
  const key = report.key_state === 'other' ? 'the key now holds another object' : 'the key was deleted';
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
