import { setTimeout as delay } from 'node:timers/promises';

/**
 * Errors that may be gone at the next try with the same path or descriptor: a disk or share that hiccups, limits of
 * the system. ESTALE and ENOTCONN are none of them: they stay until the file is opened again, in the next attempt.
 */
const passing = new Set([
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

/** Before each further try. Longer trouble is for the next attempt, which keeps the parts that are stored. */
const PAUSES_MS = [50, 200, 800, 3000];

/**
 * Waits before the same call is made once more.
 *
 * @param failures How often the call has failed before.
 * @throws `error` if another try would not help, or there were enough; the signal's reason.
 */
export async function pauseBeforeRetry(
  error: unknown,
  failures: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const pauseMs = PAUSES_MS[failures];
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (pauseMs === undefined || !passing.has(errno)) throw error;
  await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
}
