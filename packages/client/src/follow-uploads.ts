import {
  describeIssues,
  hasEnded,
  type Opened,
  parseResponse,
  PROGRESS_EVENT,
  progressEventSchema,
  type ResponseSchema,
  UPLOAD_EVENT,
  type UploadRecord,
  uploadRecordSchema,
} from '@backhaul/protocol';
import type { EventSourceMessage } from 'eventsource-parser';
import { isRetryable, UnexpectedAnswerError } from './errors.ts';
import {
  type FollowedEvent,
  type FollowOptions,
  openEventStream,
  reconnectingStream,
} from './event-stream.ts';
import { path, type Transport } from './transport.ts';

/** Yields the record of one upload, now and after each change, until it is terminal. */
export async function* followUpload(
  transport: Transport,
  uploadId: string,
  options: FollowOptions,
): AsyncGenerator<UploadRecord, void, undefined> {
  const upload = path`/uploads/${uploadId}`;
  let last: UploadRecord | undefined;
  for await (const event of follow(transport, `${upload}/events`, options)) {
    if (event.kind === 'message' && event.message.event === PROGRESS_EVENT) {
      const { version, bytes_in_flight } = readEvent(event.message, progressEventSchema);
      if (version === last?.version) yield { ...last, bytes_in_flight };
      continue;
    }
    const record =
      event.kind === 'message'
        ? readRecord(event.message)
        : // Fetch the record as well, in case a proxy holds events back.
          await peek(transport, upload, options);
    if (record === undefined || record.version <= (last?.version ?? 0)) continue;
    last = record;
    yield record;
    if (hasEnded(record)) return;
  }
}

/** Yields changes of all uploads from now on, until aborted. */
export async function* followAllUploads(
  transport: Transport,
  options: FollowOptions,
): AsyncGenerator<UploadRecord, void, undefined> {
  for await (const event of follow(transport, '/events', options)) {
    const record = event.kind === 'message' ? readRecord(event.message) : undefined;
    if (record !== undefined) yield record;
  }
}

function follow(
  transport: Transport,
  path: string,
  options: FollowOptions,
): AsyncGenerator<FollowedEvent, void, undefined> {
  const { signal } = options;
  const open = async (lastEventId: string | undefined) =>
    await openEventStream(transport, path, { lastEventId, signal });
  return reconnectingStream(open, options);
}

async function peek(
  transport: Transport,
  path: string,
  { signal }: FollowOptions,
): Promise<UploadRecord | undefined> {
  try {
    return await transport.json(path, uploadRecordSchema, { signal });
  } catch (error) {
    if (isRetryable(error)) return undefined;
    throw error;
  }
}

function readRecord(message: EventSourceMessage): UploadRecord | undefined {
  return message.event === UPLOAD_EVENT ? readEvent(message, uploadRecordSchema) : undefined;
}

function readEvent<T>({ event, data }: EventSourceMessage, schema: ResponseSchema<T>): Opened<T> {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch (cause) {
    throw new UnexpectedAnswerError('an event is not JSON', 200, { cause });
  }
  const parsed = parseResponse(schema, json);
  if (parsed.success) return parsed.data;
  throw new UnexpectedAnswerError(
    `an event "${event}" does not have the expected shape (${describeIssues(parsed.error)})`,
    200,
  );
}
