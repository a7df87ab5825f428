import { errorTable, isErrorCode, type UploadRecord } from '@backhaul/protocol';
import { readableDuration } from './readable.ts';

/** A mistake in the command line or the settings; `fix` says what to change. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly fix: string | null;

  constructor(message: string, fix: string | null = null, options?: ErrorOptions) {
    super(message, options);
    this.fix = fix;
  }
}

/** `--timeout` passed before the upload ended. The upload itself continues. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';

  constructor(timeoutMs: number) {
    super(`The upload did not end within ${readableDuration(timeoutMs)} (--timeout).`);
  }
}

/** An upload ended with a status other than `completed`. */
export class UploadFailedError extends Error {
  override readonly name = 'UploadFailedError';
  readonly record: UploadRecord;
  /** Of the error table, unless the server is of a later version. */
  readonly code: string;

  constructor(record: UploadRecord) {
    const code = record.error ?? codeOfStatus(record);
    const sentence = isErrorCode(code) ? errorTable[code].sentence : `The upload ended: ${code}.`;
    super(record.message ?? sentence);
    this.record = record;
    this.code = code;
  }
}

function codeOfStatus({ status }: UploadRecord): string {
  if (status === 'cancelled') return 'cancelled';
  if (status === 'expired') return 'upload_expired';
  return status === 'failed' ? 'agent_fault' : status;
}

/** The upload succeeded, but its file could not be downloaded or written; see `cause`. */
export class UndeliveredError extends Error {
  override readonly name = 'UndeliveredError';
  readonly record: UploadRecord;

  constructor(record: UploadRecord, cause: unknown) {
    super('The file was not delivered.', { cause });
    this.record = record;
  }
}

/** A signal stopped this command. By convention the exit code is 128 + the signal. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: number;

  constructor(signal: InterruptSignal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + interruptSignals[signal];
  }
}

export const interruptSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
export type InterruptSignal = keyof typeof interruptSignals;
