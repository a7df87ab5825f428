import { readableDuration } from './readable.ts';

/** `--timeout` passed before the upload ended. The upload itself continues. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';

  constructor(timeoutMs: number) {
    super(`The upload did not end within ${readableDuration(timeoutMs)} (--timeout).`);
  }
}
