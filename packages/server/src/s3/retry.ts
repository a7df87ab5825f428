import { setTimeout as sleep } from 'node:timers/promises';

export interface RetryPolicy {
  /** 1 = never repeated. */
  readonly maxAttempts: number;
  /** One attempt, from its start to the last byte of its answer. */
  readonly attemptTimeoutMs: number;
  /** All attempts and the waits between them. */
  readonly deadlineMs: number;
  /** The wait before attempt n+1 is random between 0 and min(maxDelayMs, baseDelayMs · 2ⁿ⁻¹). */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

/** An attempt, or all of them together, took longer than the policy allows. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  readonly afterMs: number;

  constructor(afterMs: number) {
    super(`no answer within ${afterMs} ms`);
    this.afterMs = afterMs;
  }
}

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  readonly isTransient: (error: unknown) => boolean;
  /** In [0, 1). */
  readonly random?: (() => number) | undefined;
}

/**
 * The only place that repeats a call to the store. Full jitter, so that many servers that were cut off together do
 * not come back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
 *
 * @throws the last attempt's error; {@link DeadlineError}; the signal's reason when the caller gave up.
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

/** Settles in time even if `run` overlooks its signal. */
async function withTimeout<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error), {
      once: true,
    });
  });
  const passOn = () => controller.abort(signal?.reason);
  signal?.addEventListener('abort', passOn, { once: true });
  const timer = setTimeout(() => controller.abort(new DeadlineError(Math.round(timeoutMs))), timeoutMs);
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } catch (error) {
    // Libraries turn the abort into errors of their own; the reason is what happened.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', passOn);
  }
}
