import type { EventSourceMessage } from 'eventsource-parser';
import { ApiError } from './api-error.ts';
import { backoffMs, pause } from './backoff.ts';
import { ConnectionError } from './connection-error.ts';

/** Chosen so that clients reconnect within five seconds after a server restart. */
const RECONNECT = { baseMs: 500, maxMs: 4000 };

export interface FollowOptions {
  /** Stops following; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** How long the server may be unreachable before the last error is thrown. Milliseconds; default: 300,000. */
  readonly giveUpAfterMs?: number | undefined;
  /** The same before the first contact. Milliseconds; default: 0, so that a wrong address is reported at once. */
  readonly firstContactMs?: number | undefined;
  /** Called before each wait for a retry. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
}

/** A lost stream and the delay before the next try. */
export interface Gap {
  /** The error; undefined if the server ended the stream normally. */
  readonly problem: ConnectionError | ApiError | undefined;
  /** Delay before the next try, in milliseconds. */
  readonly delayMs: number;
}

export type FollowedEvent =
  | { readonly kind: 'message'; readonly message: EventSourceMessage }
  | { readonly kind: 'gap'; readonly gap: Gap };

type Open = (lastEventId: string | undefined) => Promise<AsyncIterable<EventSourceMessage>>;

/**
 * Reconnects a stream of events from the last event's id after lost connections. Ends only with an error that a retry
 * cannot fix, or by the signal. A gap is yielded before its delay, so that the consumer can fetch missed changes.
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
      if (!isRetryable(error)) throw error;
      problem = error;
    }
    failures += 1;
    const retryAfterMs = problem instanceof ApiError ? (problem.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(backoffMs(failures, RECONNECT), retryAfterMs);
    if (problem !== undefined && performance.now() + delayMs > giveUpAt) throw problem;
    const gap = { problem, delayMs };
    onGap?.(gap);
    yield { kind: 'gap', gap };
    await pause(delayMs, signal);
  }
}

/** Whether a retry can succeed. */
export function isRetryable(error: unknown): error is ConnectionError | ApiError {
  return error instanceof ConnectionError || (error instanceof ApiError && error.retryable);
}
