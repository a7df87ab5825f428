import { BackhaulError } from '@backhaul/protocol';

/** Time limit for operator requests that need the object store. Clients wait 30 s. */
const STORE_DEADLINE_MS = 10_000;

/**
 * Calls the object store for a waiting operator, with a time limit.
 *
 * @param ask Must end when its signal aborts.
 * @throws BackhaulError `storage_unavailable` when the time is up; the effect of the call is unknown then.
 */
export async function withStoreDeadline<Result>(
  ask: (signal: AbortSignal) => Promise<Result>,
  withinMs = STORE_DEADLINE_MS,
): Promise<Result> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), withinMs);
  try {
    return await ask(deadline.signal);
  } catch (error) {
    if (!deadline.signal.aborted || error instanceof BackhaulError) throw error;
    throw new BackhaulError(
      'storage_unavailable',
      `The object store did not respond to the server within ${withinMs / 1000} s; try again later.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
