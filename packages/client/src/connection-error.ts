/** The server could not be reached, or disconnected before its response. `cause` is the network's error. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Scheme, host and port of the server. */
  readonly origin: string;

  constructor(origin: string, problem: string, options?: ErrorOptions) {
    super(`${origin} ${problem}`, options);
    this.origin = origin;
  }
}

/**
 * Returns the reason of a network error: the system's error code (`ECONNREFUSED`, …), which fetch hides in nested
 * causes, else the innermost message. Undefined for other errors: fetch throws network errors as a TypeError with a
 * cause; a TypeError without one is a bug.
 */
export function networkReason(error: unknown): string | undefined {
  if (!(error instanceof TypeError)) return undefined;
  let innermost: string | undefined;
  for (let at = error.cause; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    innermost = at.message;
  }
  return innermost;
}

/** A failed connection. The message is a clause with the reason and the change to make; `code` is the network's. */
export class NetworkFault extends Error {
  override readonly name = 'NetworkFault';
  readonly code: string;

  constructor(sentence: string, cause: Error) {
    super(sentence, { cause });
    this.code = networkReason(new TypeError('', { cause })) ?? 'unknown';
  }
}

/** Returns the message and code of a {@link NetworkFault} among the causes of an error; null if there is none. */
export function faultIn(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof NetworkFault) return `${at.message} (${at.code})`;
  }
  return null;
}
