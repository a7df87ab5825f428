/** Maximum delay of setTimeout, in milliseconds. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** A duration for messages. */
export function seconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}

/** Waits for `promise` until the signal is aborted. @throws The signal's reason once it is aborted. */
export async function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  promise.catch(() => {}); // Avoids an unhandled rejection after an abort.
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Waits until the promise has settled, at most `ms` milliseconds. Never rejects. */
export async function settledWithin(promise: Promise<unknown>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([promise.catch(() => {}), late.promise]);
  clearTimeout(timer);
}

/** Wakes all waiters when something has changed; each waiter checks what it was. */
export class Wakeup {
  #next = Promise.withResolvers<void>();

  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** @throws The signal's reason once it is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    await abortable(this.#next.promise, signal);
  }
}
