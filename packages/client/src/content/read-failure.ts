import type { ErrorCode } from '@backhaul/protocol';

/** A failure to read from the object store that a retry can fix. */
export class ReadFailure extends Error {
  override readonly name = 'ReadFailure';
  /** Code of the error if all retries fail. */
  readonly code: ErrorCode;
  /** Minimum delay before a retry, if the store requested one. */
  readonly retryAfterMs: number;

  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}
