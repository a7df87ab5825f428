/**
 * Something answered, but not as a Backhaul server of this version does: a proxy's page, another program, or a
 * server whose version does not fit.
 */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
  /** HTTP status. */
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
