import { BackhaulError } from '@backhaul/protocol';

/** A request of an operator is answered within this, whether the object store answers or not. Clients wait 30 s. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * Asks the object store for an operator who waits.
 *
 * @param ask Ends when its signal aborts.
 * @throws BackhaulError `storage_unavailable` when there was no answer in time; nothing is known of the effect then.
 */
export async function answeredSoon<Result>(
  ask: (signal: AbortSignal) => Promise<Result>,
  withinMs = ANSWER_WITHIN_MS,
): Promise<Result> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), withinMs);
  try {
    return await ask(deadline.signal);
  } catch (error) {
    if (!deadline.signal.aborted || error instanceof BackhaulError) throw error;
    throw new BackhaulError(
      'storage_unavailable',
      `The object store did not answer the server within ${withinMs / 1000} s; try again later.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
