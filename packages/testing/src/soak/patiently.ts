import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, BackhaulClient, ConnectionError } from '@backhaul/client';
import type { Stage } from '../stage.ts';

const PAUSE_MS = 300;

/**
 * Asks the server until it has answered: it may be dead, stopped, or without its store.
 *
 * @throws ApiError that another try does not help against; the signal's reason.
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

/** A 500 is none of these: whatever is done to a server, it has to know what to say. */
function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof ApiError && (error.status === 429 || error.status > 500) && error.retryable;
}
