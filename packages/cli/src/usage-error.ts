/** A mistake in the command line or the settings; `fix` says what to change. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly fix: string | null;

  constructor(message: string, fix: string | null = null, options?: ErrorOptions) {
    super(message, options);
    this.fix = fix;
  }
}
