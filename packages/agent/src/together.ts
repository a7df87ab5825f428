type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks side by side. The first failure stops the others, and it is thrown only once all have ended, so that
 * what they share can be closed right after.
 */
export async function together(tasks: readonly Task[], { signal }: { signal: AbortSignal }): Promise<void> {
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
