/** The server could not be reached, or went away before it had answered. `cause` is what the network said. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Scheme, host and port that were tried. */
  readonly origin: string;

  constructor(origin: string, problem: string, options?: ErrorOptions) {
    super(`${origin} ${problem}`, options);
    this.origin = origin;
  }
}

/**
 * Why the network failed: the system's error code (`ECONNREFUSED`, …) where there is one, for fetch hides it in
 * nested causes; else the innermost words. Undefined if the error is none of the network's: fetch gives each of
 * those as a TypeError with a cause, and one without is a mistake in code.
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

/** The message says why a connection failed and what to change, as a clause; `code` is the network's. */
export class NetworkFault extends Error {
  override readonly name = 'NetworkFault';
  readonly code: string;

  constructor(sentence: string, cause: Error) {
    super(sentence, { cause });
    this.code = networkReason(new TypeError('', { cause })) ?? 'unknown';
  }
}

/** The sentence of a {@link NetworkFault} among the causes of an error, with its code; null if there is none. */
export function faultIn(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof NetworkFault) return `${at.message} (${at.code})`;
  }
  return null;
}
