import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, BackhaulClient, ConnectionError } from '@backhaul/client';
import type { Stage } from '../harness/stage.ts';

const PAUSE_MS = 300;

/**
 * Repeats a request until the server responds: it may be dead, stopped, or without its store.
 *
 * @throws ApiError that a retry cannot fix; the signal's reason.
 */
export async function patiently<Answer>(
  stage: Stage,
  ask: (client: BackhaulClient) => Promise<Answer>,
  signal: AbortSignal,
): Promise<Answer> {
  for (;;) {
    signal.throwIfAborted();
    try {
      // A soak may outlast a token.
      return await ask(new BackhaulClient({ url: stage.url, token: await stage.tokens.operator() }));
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}

/** A 500 is not temporary: the server must have a specific error for every fault. */
function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof ApiError && (error.status === 429 || error.status > 500) && error.retryable;
}
