/** Growth of the delays between retries. */
export interface Backoff {
  /** Delay before the first retry, in milliseconds. */
  readonly baseMs: number;
  /** Maximum delay, in milliseconds. */
  readonly maxMs: number;
}

/**
 * Returns the delay before retry `attempt` (from 1): it doubles, and its upper half is random, so that clients that are
 * disconnected together do not reconnect together.
 *
 * @param random From 0 to 1.
 * @returns Milliseconds.
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: Backoff, random = Math.random): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return ceiling / 2 + random() * (ceiling / 2);
}

/** Resolves after `ms`; rejects with the signal's reason when it aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(resolve, ms);
      // The caller's reason is passed on unchanged.
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
  }
}
