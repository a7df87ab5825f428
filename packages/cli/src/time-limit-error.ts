import { readableDuration } from './readable.ts';

/** `--timeout` passed before the pull had ended. The pull itself goes on. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';

  constructor(timeoutMs: number) {
    super(`The pull had not ended after ${readableDuration(timeoutMs)}.`);
  }
}
