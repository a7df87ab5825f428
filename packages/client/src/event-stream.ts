import { EVENT_HEARTBEAT_MS } from '@backhaul/protocol';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { Deadline } from './deadline.ts';
import type { Transport } from './transport.ts';
import { UnexpectedAnswerError } from './unexpected-answer-error.ts';

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

interface Connection {
  readonly transport: Transport;
  readonly deadline: Deadline;
  readonly signal: AbortSignal | undefined;
}

async function* readEvents(
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
