import { EVENT_HEARTBEAT_MS } from '@backhaul/protocol';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { backoffMs, pause } from './backoff.ts';
import { Deadline } from './deadline.ts';
import { ApiError, type ConnectionError, isRetryable, UnexpectedAnswerError } from './errors.ts';
import type { Transport } from './transport.ts';

/** After three missed heartbeats the connection counts as dead. */
const IDLE_TIMEOUT_MS = 3 * EVENT_HEARTBEAT_MS;

/** A record is a few kilobytes; a stream with a longer event is not an event stream. */
const MAX_EVENT_CHARACTERS = 1024 * 1024;

export interface EventStreamOptions {
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The connection counts as lost after this time without data. */
  readonly idleTimeoutMs?: number | undefined;
}

/**
 * Opens one connection to a stream of server-sent events. Resolves once the server has accepted; the iteration ends when
 * the server ends the stream, and throws `ConnectionError` when the connection is lost.
 */
export async function openEventStream(
  transport: Transport,
  path: string,
  { lastEventId, signal, idleTimeoutMs = IDLE_TIMEOUT_MS }: EventStreamOptions,
): Promise<AsyncGenerator<EventSourceMessage, void, undefined>> {
  const deadline = new Deadline(idleTimeoutMs, signal);
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
  try {
    const response = await transport.open(path, { headers }, deadline.signal);
    const type = response.headers.get('content-type') ?? '';
    if (!type.startsWith('text/event-stream') || response.body === null) {
      await response.body?.cancel();
      throw new UnexpectedAnswerError(`${path} did not respond with an event stream`, response.status);
    }
    return readEvents(response.body, { transport, deadline, signal });
  } catch (error) {
    deadline[Symbol.dispose]();
    throw transport.failure(error, deadline, signal);
  }
}

export interface Connection {
  readonly transport: Transport;
  readonly deadline: Deadline;
  readonly signal: AbortSignal | undefined;
}

/** Yields the events of a response until it ends, and disposes of the deadline. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  { transport, deadline, signal }: Connection,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  using _ = deadline;
  let arrived: EventSourceMessage[] = [];
  let overflow: Error | undefined;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARACTERS,
    onEvent: (event) => arrived.push(event),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') overflow = error;
    },
  });
  const decoder = new TextDecoder();
  try {
    for await (const chunk of body) {
      deadline.suspend();
      parser.feed(decoder.decode(chunk, { stream: true }));
      if (overflow !== undefined) {
        throw new UnexpectedAnswerError('an event is longer than any record', 200, { cause: overflow });
      }
      yield* arrived;
      arrived = [];
      deadline.extend();
    }
  } catch (error) {
    throw transport.failure(error, deadline, signal);
  }
}

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
