import { setTimeout as delay } from 'node:timers/promises';

/** Code of an error of the operating system or of Node.js, such as `ENOENT`; undefined without one. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/**
 * Errors that a retry with the same path or descriptor may resolve: a brief failure of a disk or share, or a system limit.
 * ESTALE and ENOTCONN are excluded: they persist until the file is opened again, in the next attempt.
 */
const transientErrors = new Set([
  'EIO',
  'EAGAIN',
  'EINTR',
  'ENFILE',
  'EMFILE',
  'ENOMEM',
  'ENOBUFS',
  'ETIMEDOUT',
  'EBUSY',
]);

/** Pause before each retry. Longer failures are left to the next attempt, which keeps the stored parts. */
const PAUSES_MS = [50, 200, 800, 3000];

/**
 * Waits before a retry of the same call.
 *
 * @param failures Number of earlier failures of this call.
 * @throws `error` if it is not transient or there are no retries left; the signal's reason.
 */
export async function pauseBeforeRetry(
  error: unknown,
  failures: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const pauseMs = PAUSES_MS[failures];
  if (pauseMs === undefined || !transientErrors.has(codeOf(error) ?? '')) throw error;
  await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
}
