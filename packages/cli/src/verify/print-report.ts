import { type UploadRecord, printable } from '@backhaul/protocol';
import type { Output } from '../output.ts';
import { type Check, sureness, type VerificationReport } from './verification-report.ts';

const WIDTH = 'altered'.length;

/** A line for each check; what neither side has is no check. */
export function printChecks(output: Output, checks: readonly Check[], subject = ''): void {
  for (const check of checks) {
    const [style, word, detail] = describe(check);
    if (detail !== undefined) line(output, [style, word], `${subject}${check.name}: ${detail}`);
  }
}

/** The last line: what all checks come to. */
export function printVerdict(output: Output, record: UploadRecord, report: VerificationReport): void {
  const { verdict } = report;
  const object = `s3://${record.bucket}/${record.key}`;
  const superseded = keySentence(record, report);
  if (superseded !== undefined) line(output, ['yellow', 'note'], superseded);
  if (verdict !== 'intact') {
    line(output, ['red', verdict], object);
    return;
  }
  const { by, doubt } = sureness(report);
  line(output, ['green', verdict], `${object} (${by})`);
  if (doubt)
    output.line(`${' '.repeat(WIDTH)}  → to be sure, read it: backhaul verify ${record.upload_id} --content`);
}

/** Where the recorded version is still there, and its key shows something else. */
function keySentence({ version_id: version }: UploadRecord, report: VerificationReport): string | undefined {
  const isThere = report.checks.some(({ name, ok }) => name === 'token' && ok === true);
  if (!isThere || report.key_state === undefined || report.key_state === 'recorded') return undefined;
  const key = report.key_state === 'other' ? 'the key now shows another object' : 'the key was deleted';
  return `${key}; the recorded version${version === null ? '' : ` ${version}`} is still there`;
}

type Mark = readonly [style: 'green' | 'red' | 'yellow', word: string];

function line(output: Output, [style, word]: Mark, text: string): void {
  output.line(`${output.paint(style, word.padEnd(WIDTH))}  ${printable(text)}`);
}

function describe({ name, ok, expected, found }: Check): [...Mark, detail: string | undefined] {
  // Whether it is the upload's own object is all that is shown of the token.
  const isToken = name === 'token';
  switch (ok) {
    case true:
      return ['green', 'ok', isToken ? 'the object is of this upload' : (found ?? '')];
    case false:
      return [
        'red',
        'differs',
        isToken ? 'the object is not of this upload' : `${found}, recorded is ${expected}`,
      ];
    case null:
      if (expected !== null) return ['yellow', '–', `the store keeps none; recorded is ${expected}`];
      return ['yellow', '–', found === null ? undefined : `${found}, nothing is recorded`];
  }
}
