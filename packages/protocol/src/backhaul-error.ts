import { type ErrorCode, errorTable } from './error-table.ts';
import type { RefusalReason } from './refusal-reason.ts';

/**
 * A failure with a code from the error table. Inside a program it is thrown; between programs only its `code`
 * and `message` travel.
 */
export class BackhaulError extends Error {
  override readonly name = 'BackhaulError';
  readonly code: ErrorCode;
  /** Of a refused connection or token: more than the code tells. */
  readonly reason: RefusalReason | undefined;

  /** @param message For a person: what happened and what to change. Defaults to the table's sentence. */
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
