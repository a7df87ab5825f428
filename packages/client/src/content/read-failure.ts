import type { ErrorCode } from '@backhaul/protocol';

/** Reading from the object store broke off in a way that another try can mend. */
export class ReadFailure extends Error {
  override readonly name = 'ReadFailure';
  /** What it is called if the tries run out. */
  readonly code: ErrorCode;
  /** The least time to wait, if the store named one. */
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
