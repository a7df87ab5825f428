import { ApiError, ConnectionError, faultIn, UnexpectedAnswerError } from '@backhaul/client';
import { OutputError } from '@backhaul/client/content';
import {
  BackhaulError,
  type ErrorCode,
  type ErrorKind,
  errorTable,
  isErrorCode,
  printable,
  printableJson,
  type UploadRecord,
} from '@backhaul/protocol';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { CommanderError } from 'commander';
import { Interrupted, TimeLimitError, UndeliveredError, UploadFailedError, UsageError } from './errors.ts';
import type { Output } from './output.ts';

export const DONE = 0;

/** 128 + SIGPIPE, like a program killed by that signal. Used only if a file was cut short. */
const BROKEN_PIPE = 141;

/** The exit code for each kind of error in the protocol's error table. Scripts rely on these: never change one. */
export const exitCodes = {
  fault: 1,
  usage: 2,
  not_authorised: 3,
  not_found: 4,
  temporary: 5,
  refused_by_agent: 6,
  pull_failed: 7,
} as const satisfies Record<ErrorKind, number>;

/** Texts for the help of the program. */
export const exitCodeTexts: readonly (readonly [number, string])[] = [
  [DONE, 'success'],
  [exitCodes.fault, 'unexpected error, or the output cannot be written'],
  [exitCodes.usage, 'usage error: a flag, argument or setting is wrong'],
  [exitCodes.not_authorised, 'not authorised'],
  [exitCodes.not_found, 'not found'],
  [exitCodes.temporary, 'temporary: server, agent or object store unavailable'],
  [exitCodes.refused_by_agent, "refused by the agent's policy"],
  [exitCodes.pull_failed, 'the upload failed'],
  [130, 'interrupted by Ctrl-C (128 + the signal)'],
  [BROKEN_PIPE, 'the reader of --output - closed before the end of the file'],
];

/** An error in the form in which it is reported to a person or a script. */
export interface Failure {
  /** A code of the error table, or of the command line: `usage`, `unreachable`, `unexpected_answer`, `time_limit`, `output`, `interrupted`, `unexpected`. */
  readonly code: string;
  readonly exitCode: number;
  /** One sentence for a person who has not read the source. */
  readonly sentence: string;
  /** Details of this occurrence. */
  readonly detail: string | null;
  /** Suggested change. */
  readonly fix: string | null;
  readonly uploadId: string | null;
}

/** The only place that prints errors: sentence, detail and fix; with `--json` one object on standard error. */
export function renderFailure(failure: Failure, output: Output): void {
  const { code, exitCode, sentence, detail, fix, uploadId } = failure;
  if (output.json) {
    const error = { code, exit_code: exitCode, message: sentence, detail, fix, upload_id: uploadId };
    output.stderr.write(`${printableJson(JSON.stringify({ error }))}\n`);
    return;
  }
  // The user pressed Ctrl-C and needs no message.
  if (code === 'interrupted') return;
  const lines = [`${output.paint('red', 'backhaul:', output.stderr)} ${printable(sentence)}`];
  if (detail !== null) lines.push(`  ${printable(detail)}`);
  if (fix !== null) lines.push(`  → ${printable(fix)}`);
  output.stderr.write(`${lines.join('\n')}\n`);
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof UploadFailedError) {
    return { ...fromTable(error.code, error.message), uploadId: error.record.upload_id };
  }
  if (error instanceof UndeliveredError) return describeUndelivered(error);
  if (error instanceof ApiError) {
    return { ...fromTable(error.code, error.detail), uploadId: error.upload?.upload_id ?? null };
  }
  if (error instanceof BackhaulError) return fromTable(error.code, error.message);
  if (error instanceof ConnectionError) {
    const fault = faultIn(error);
    if (fault !== null) {
      const sentence = 'The server cannot be reached.';
      return failure('unreachable', 'temporary', { sentence, detail: `${asSentence(fault)}.` });
    }
    return failure('unreachable', 'temporary', {
      sentence: 'The server cannot be reached.',
      detail: `${error.message}.`,
      fix: `Check --url or BACKHAUL_URL (or ${DEV_FILE}), and that the server is running.`,
    });
  }
  if (error instanceof UnexpectedAnswerError) {
    return failure('unexpected_answer', 'fault', {
      sentence: 'The server sent a response that this version does not understand.',
      detail: `${error.message}.`,
      fix: 'Check that --url or BACKHAUL_URL is the address of a Backhaul server, and that its version is compatible.',
    });
  }
  if (error instanceof TimeLimitError) {
    return failure('time_limit', 'temporary', { sentence: error.message });
  }
  if (error instanceof UsageError) {
    return failure('usage', 'usage', { sentence: error.message, fix: error.fix });
  }
  if (error instanceof CommanderError) {
    return failure('usage', 'usage', {
      sentence: asSentence(error.message),
      fix: 'See backhaul --help, or backhaul COMMAND --help.',
    });
  }
  if (error instanceof OutputError) return describeOutputError(error);
  if (error instanceof Interrupted) {
    return { ...failure('interrupted', 'fault', { sentence: error.message }), exitCode: error.exitCode };
  }
  return failure('unexpected', 'fault', {
    sentence: 'Unexpected error.',
    detail: error instanceof Error ? error.message : String(error),
  });
}

/** The command that downloads the file of a completed upload, or resumes an interrupted download. */
export function fetchCommand({ upload_id }: UploadRecord): string {
  return `backhaul content ${upload_id} --output PATH`;
}

function describeUndelivered({ record, cause }: UndeliveredError): Failure {
  const described = describeFailure(cause);
  const state =
    record.status === 'completed'
      ? 'The upload is complete; get the file with'
      : 'The upload continues on the server; once it is complete, get the file with';
  const nextStep = `${state}: ${fetchCommand(record)}`;
  // A usage error already has a fix, such as another path or --overwrite.
  const fix =
    described.code === 'usage' && described.fix !== null ? `${described.fix} ${nextStep}` : nextStep;
  return { ...described, fix, uploadId: record.upload_id };
}

function describeOutputError({ errno, message }: OutputError): Failure {
  if (errno === 'EEXIST') {
    const fix = 'Add --overwrite to replace it, or change --output.';
    return failure('usage', 'usage', { sentence: message, fix });
  }
  if (errno === 'EPIPE') {
    const sentence = 'The reader of standard output closed before the end of the file.';
    return { ...failure('output', 'fault', { sentence }), exitCode: BROKEN_PIPE };
  }
  return failure('output', 'fault', { sentence: message });
}

/** @param code May be one of a later version; then only the message explains it. */
function fromTable(code: string, message: string): Failure {
  if (!isErrorCode(code)) return failure(code, 'pull_failed', { sentence: message });
  const { sentence, kind } = errorTable[code];
  const detail = message === sentence ? null : message;
  return failure(code, kind, { sentence, detail, fix: fixes[code] ?? null });
}

interface Words {
  readonly sentence: string;
  readonly detail?: string | null;
  readonly fix?: string | null;
}

function failure(code: string, kind: ErrorKind, { sentence, detail = null, fix = null }: Words): Failure {
  return { code, exitCode: exitCodes[kind], sentence, detail, fix, uploadId: null };
}

/** `error: unknown option '--jsn'\n(Did you mean --json?)` → `Unknown option '--jsn' (Did you mean --json?)`. */
function asSentence(message: string): string {
  const text = message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Suggested fixes, for codes where the command line can add to the server's message. */
const fixes: Partial<Record<ErrorCode, string>> = {
  unauthorized:
    'Set BACKHAUL_TOKEN or --token to a valid operator token; "backhaul token operator" creates one.',
  forbidden:
    'Use a token that has the missing scope: backhaul token operator --scope read,content,trigger,admin',
  client_not_found:
    'Check the client_id ("backhaul clients" lists them), or start the agent: its first connection registers it.',
  upload_not_found: 'Check the upload_id: "backhaul uploads" lists them.',
  client_offline: 'Start the agent on that machine, or wait until it reconnects.',
  file_not_found: 'Check --file; "backhaul ls CLIENT DIR" lists the directory.',
  path_not_allowed: 'Allow the path on the machine itself: start the agent with --allow DIR.',
  permission_denied: 'Give the account that runs the agent permission to read the file.',
  upload_not_finished:
    'Cancel it (backhaul cancel ID), wait until it has ended (backhaul uploads ID --follow), then repeat this command.',
  upload_not_completed: 'Wait until it has completed: backhaul uploads ID --follow',
};
