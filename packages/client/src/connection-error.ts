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

/** Names the system's error code (`ECONNREFUSED`, …) where there is one: fetch hides it in nested causes. */
export function networkCode(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    if ('code' in at && typeof at.code === 'string') return at.code;
  }
  return undefined;
}
