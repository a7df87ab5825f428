import { type ErrorCode, errorTable } from './error-table.ts';
import type { RefusalReason } from './refusal-reason.ts';

/**
 * An error with a code from the error table. Within a program it is thrown; between programs only its `code` and
 * `message` are sent.
 */
export class BackhaulError extends Error {
  override readonly name = 'BackhaulError';
  readonly code: ErrorCode;
  /** More specific reason for refusing a connection or token. */
  readonly reason: RefusalReason | undefined;

  /** @param message Description for people: what happened and what to change. Default: the table's sentence. */
  constructor(
    code: ErrorCode,
    message: string = errorTable[code].sentence,
    options: ErrorOptions & { readonly reason?: RefusalReason } = {},
  ) {
    super(message, options);
    this.code = code;
    this.reason = options.reason;
  }
}
