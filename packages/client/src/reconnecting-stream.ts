import type { EventSourceMessage } from 'eventsource-parser';
import { ApiError } from './api-error.ts';
import { backoffMs, pause } from './backoff.ts';
import { ConnectionError } from './connection-error.ts';

/** A server that was restarted is there again after some seconds: its watchers should see it within five. */
const RECONNECT = { baseMs: 500, maxMs: 4000 };

export interface FollowOptions {
  /** Ends the following; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** How long the server may be away before following ends with the last error. Milliseconds; default: 300,000. */
  readonly giveUpAfterMs?: number | undefined;
  /** The same before the first contact. Milliseconds; default: 0, so that a wrong address is told at once. */
  readonly firstContactMs?: number | undefined;
  /** Told before each wait for another try. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
}

/** A loss of the stream, and how long until the next try. */
export interface Gap {
  /** Why the stream was lost; undefined if the server ended it in good order. */
  readonly problem: ConnectionError | ApiError | undefined;
  /** Milliseconds until the next try. */
  readonly delayMs: number;
}

export type FollowedEvent =
  | { readonly kind: 'message'; readonly message: EventSourceMessage }
  | { readonly kind: 'gap'; readonly gap: Gap };

type Open = (lastEventId: string | undefined) => Promise<AsyncIterable<EventSourceMessage>>;

/**
 * Keeps a stream of events going across lost connections, from the last event's id. Ends only by an error that
 * time will not mend, or by the signal. A gap is yielded before its wait, so that the consumer can ask for what
 * it may have missed.
 */
export async function* reconnectingStream(
  open: Open,
  options: FollowOptions,
): AsyncGenerator<FollowedEvent, void, undefined> {
  const { signal, giveUpAfterMs = 300_000, firstContactMs = 0, onGap } = options;
  let lastEventId: string | undefined;
  let failures = 0;
  let giveUpAt = performance.now() + firstContactMs;
  for (;;) {
    let problem: ConnectionError | ApiError | undefined;
    try {
      const stream = await open(lastEventId);
      giveUpAt = performance.now() + giveUpAfterMs;
      for await (const message of stream) {
        failures = 0;
        giveUpAt = performance.now() + giveUpAfterMs;
        if (message.id !== undefined) lastEventId = message.id;
        yield { kind: 'message', message };
      }
    } catch (error) {
      if (!passes(error)) throw error;
      problem = error;
    }
    failures += 1;
    const askedMs = problem instanceof ApiError ? (problem.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(backoffMs(failures, RECONNECT), askedMs);
    if (problem !== undefined && performance.now() + delayMs > giveUpAt) throw problem;
    const gap = { problem, delayMs };
    onGap?.(gap);
    yield { kind: 'gap', gap };
    await pause(delayMs, signal);
  }
}

/** Whether waiting can help. */
export function passes(error: unknown): error is ConnectionError | ApiError {
  return error instanceof ConnectionError || (error instanceof ApiError && error.retryable);
}
