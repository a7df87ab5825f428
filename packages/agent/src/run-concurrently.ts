type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks concurrently. The first failure stops the others and is thrown once all have ended, so that the caller can
 * then close what they share.
 */
export async function runConcurrently(
  tasks: readonly Task[],
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        await task(either);
      } catch (error) {
        stop.abort(error);
      }
    }),
  );
  either.throwIfAborted();
}
