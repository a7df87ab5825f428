import { setTimeout as sleep } from 'node:timers/promises';

export interface RetryPolicy {
  /** 1 = no retries. */
  readonly maxAttempts: number;
  /** Time limit of one attempt, from its start to the last byte of the response. */
  readonly attemptTimeoutMs: number;
  /** Time limit of all attempts including the delays between them. */
  readonly deadlineMs: number;
  /** The delay before attempt n+1 is random between 0 and min(maxDelayMs, baseDelayMs · 2ⁿ⁻¹). */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

/** An attempt, or all of them together, took longer than the policy allows. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  readonly afterMs: number;

  constructor(afterMs: number) {
    super(`no response within ${afterMs} ms`);
    this.afterMs = afterMs;
  }
}

interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  readonly isTransient: (error: unknown) => boolean;
  /** In [0, 1). */
  readonly random?: (() => number) | undefined;
}

/**
 * The only function that retries calls to the store. Full jitter keeps servers that were cut off together from
 * reconnecting together (AWS Architecture Blog, "Exponential Backoff And Jitter").
 *
 * @throws the last attempt's error; {@link DeadlineError}; the signal's reason when the caller aborted.
 */
export async function retrying<T>(
  policy: RetryPolicy,
  options: RetryOptions,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, isTransient, random = Math.random } = options;
  const deadline = performance.now() + policy.deadlineMs;
  for (let attemptNumber = 1; ; attemptNumber++) {
    signal?.throwIfAborted();
    try {
      const left = deadline - performance.now();
      return await withTimeout(Math.min(policy.attemptTimeoutMs, left), signal, attempt);
    } catch (error) {
      signal?.throwIfAborted();
      const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attemptNumber - 1));
      const delay = random() * ceiling;
      const isLast = attemptNumber >= policy.maxAttempts || performance.now() + delay >= deadline;
      if (isLast || !(error instanceof DeadlineError || isTransient(error))) throw error;
      await sleep(delay, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

/** Settles in time even if `run` ignores its signal. */
async function withTimeout<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const passOn = () => controller.abort(signal?.reason);
  signal?.addEventListener('abort', passOn, { once: true });
  const timer = setTimeout(() => controller.abort(new DeadlineError(Math.round(timeoutMs))), timeoutMs);
  try {
    return await raceAbort(run(controller.signal), controller.signal);
  } catch (error) {
    // Libraries turn the abort into errors of their own; the reason is the actual cause.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', passOn);
  }
}

/** Resolves with the promise, unless the signal is aborted first. @throws the signal's reason. */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
