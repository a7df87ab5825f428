import {
  type ClientList,
  clientListSchema,
  type ClientStatus,
  clientStatusSchema,
  type ClientSummary,
  type CommandName,
  type CommandParameters,
  type CommandResult,
  commandAnswerSchema,
  commands,
  describeIssues,
  type Diagnosis,
  diagnosisSchema,
  isTerminal,
  MAX_WAIT_SECONDS,
  type ObjectVerification,
  objectVerificationSchema,
  type Readiness,
  readinessSchema,
  type TriggerRequest,
  UPLOAD_EVENT,
  type UploadList,
  uploadListSchema,
  type UploadRecord,
  uploadRecordSchema,
  type UploadStatus,
} from '@backhaul/protocol';
import type { EventSourceMessage } from 'eventsource-parser';
import { openEventStream } from './event-stream.ts';
import { type FollowOptions, passes, reconnectingStream } from './reconnecting-stream.ts';
import { Transport, type TransportOptions } from './transport.ts';
import { UnexpectedAnswerError } from './unexpected-answer-error.ts';

/** Beyond what the server itself waits for. */
const ANSWER_MARGIN_MS = 30_000;

/** A cancel waits for the finding of a completing upload; a command waits for its agent. */
const SLOW_REQUEST_TIMEOUT_MS = 120_000;

export type BackhaulClientOptions = TransportOptions;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface TriggerOptions extends CallOptions {
  /** The same key with the same request starts one pull only, however often it is sent. */
  readonly idempotencyKey?: string | undefined;
  /** Asks the server to answer only when the pull has ended, or after this long. 1 to 300. */
  readonly waitSeconds?: number | undefined;
}

export interface UploadFilter {
  readonly client_id?: string | undefined;
  readonly status?: UploadStatus | undefined;
}

export interface ClientFilter {
  readonly connected?: boolean | undefined;
  /** Written `name=value`. */
  readonly label?: string | undefined;
}

export interface PageOptions {
  /** Records in a page, 1 to 500. Default: the server's, 50. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/**
 * Backhaul's REST API and event streams. Every method throws `ApiError` when the server says no, `ConnectionError`
 * when it cannot be reached, `UnexpectedAnswerError` when what answers is no Backhaul server of this version, and
 * the signal's reason when aborted. Requests have deadlines and are not repeated, except a GET on a stale socket.
 */
export class BackhaulClient {
  readonly #transport: Transport;

  /** @throws TypeError if `url` or `token` cannot be used. */
  constructor(options: BackhaulClientOptions) {
    this.#transport = new Transport(options);
  }

  /** Scheme, host and port of the server. */
  get origin(): string {
    return this.#transport.origin;
  }

  /** Starts a pull. The record is durable when this resolves; it is terminal only after a long enough wait. */
  async triggerDownload(
    clientId: string,
    request: TriggerRequest = {},
    { idempotencyKey, waitSeconds, signal }: TriggerOptions = {},
  ): Promise<UploadRecord> {
    const headers: Record<string, string> = {};
    if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
    if (waitSeconds !== undefined) headers['prefer'] = `wait=${Math.min(waitSeconds, MAX_WAIT_SECONDS)}`;
    return await this.#transport.json(path`/trigger-download/${clientId}`, uploadRecordSchema, {
      method: 'POST',
      body: request,
      headers,
      expect: [200, 202],
      signal,
      ...(waitSeconds !== undefined && { timeoutMs: waitSeconds * 1000 + ANSWER_MARGIN_MS }),
    });
  }

  async getStatus(clientId: string, { signal }: CallOptions = {}): Promise<ClientStatus> {
    return await this.#transport.json(path`/status/${clientId}`, clientStatusSchema, { signal });
  }

  async getUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}`, uploadRecordSchema, { signal });
  }

  /** One page, newest first. */
  async listUploads(
    filter: UploadFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<UploadList> {
    return await this.#transport.json('/uploads', uploadListSchema, { query: { ...filter }, signal });
  }

  /** Every upload that matches, page by page as the consumer goes on. */
  async *eachUpload(
    filter: UploadFilter & { readonly limit?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<UploadRecord, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.listUploads({ ...filter, cursor }, options);
      yield* page.uploads;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** One page, by `client_id`. */
  async listClients(
    filter: ClientFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<ClientList> {
    return await this.#transport.json('/clients', clientListSchema, { query: { ...filter }, signal });
  }

  /** Every client that matches, page by page as the consumer goes on. */
  async *eachClient(
    filter: ClientFilter & { readonly limit?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<ClientSummary, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.listClients({ ...filter, cursor }, options);
      yield* page.clients;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  async cancelUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/cancel`, uploadRecordSchema, {
      method: 'POST',
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /** Starts a new attempt of a failed, cancelled or expired upload. */
  async retryUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/retry`, uploadRecordSchema, {
      method: 'POST',
      signal,
    });
  }

  /** Removes the record of an ended upload, and with `object` the stored object too. */
  async deleteUpload(
    uploadId: string,
    { object = false, signal }: CallOptions & { readonly object?: boolean } = {},
  ): Promise<void> {
    await this.#delete(path`/uploads/${uploadId}`, object ? { object } : {}, signal);
  }

  /** Forgets a client, until it connects again. */
  async deleteClient(clientId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#delete(path`/clients/${clientId}`, {}, signal);
  }

  /** Runs a command on a connected agent and returns what it answered. */
  async runCommand<Name extends CommandName>(
    clientId: string,
    name: Name,
    parameters: CommandParameters<Name>,
    { signal }: CallOptions = {},
  ): Promise<CommandResult<Name>> {
    const answer = await this.#transport.json(
      path`/clients/${clientId}/commands/${name}`,
      commandAnswerSchema.extend({ result: commands[name].result }),
      { method: 'POST', body: parameters, timeoutMs: SLOW_REQUEST_TIMEOUT_MS, signal },
    );
    // TypeScript does not relate the schema picked by `name` to the type picked by `Name`.
    return answer.result as CommandResult<Name>;
  }

  /**
   * The record of one upload, now and after each change, until it is terminal. Survives lost connections;
   * each version is yielded once at most.
   */
  async *followUpload(
    uploadId: string,
    options: FollowOptions = {},
  ): AsyncGenerator<UploadRecord, void, undefined> {
    let version = 0;
    for await (const event of this.#follow(path`/uploads/${uploadId}/events`, options)) {
      const record =
        event.kind === 'message'
          ? readRecord(event.message)
          : // A proxy that holds events back must not hide the end.
            await this.#peek(uploadId, options);
      if (record === undefined || record.version <= version) continue;
      version = record.version;
      yield record;
      if (isTerminal(record.status)) return;
    }
  }

  /**
   * Changes of all uploads from now on, until aborted. After a lost connection records may repeat, but the newest
   * of each upload is never missed.
   */
  async *followEvents(options: FollowOptions = {}): AsyncGenerator<UploadRecord, void, undefined> {
    for await (const event of this.#follow('/events', options)) {
      const record = event.kind === 'message' ? readRecord(event.message) : undefined;
      if (record !== undefined) yield record;
    }
  }

  /** A presigned URL of the finished object: a secret until it expires, and good for one GET or many. */
  async contentUrl(uploadId: string, { signal }: CallOptions = {}): Promise<string> {
    const request = { expect: [302, 303, 307], signal };
    return await this.#transport.send(path`/uploads/${uploadId}/content`, request, async (response) => {
      await response.body?.cancel();
      const location = response.headers.get('location');
      if (location !== null && URL.canParse(location, this.origin)) {
        return new URL(location, this.origin).href;
      }
      throw new UnexpectedAnswerError('the redirect to the content names no address', response.status);
    });
  }

  /** Whether the stored object of a completed upload is still what its record says, as the store's HEAD tells. */
  async verifyUpload(uploadId: string, { signal }: CallOptions = {}): Promise<ObjectVerification> {
    return await this.#transport.json(path`/uploads/${uploadId}/verification`, objectVerificationSchema, {
      // The server tries again for a while before it says that the store is away.
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /** What the server needs to do its work, and whether it has it. */
  async readiness({ signal }: CallOptions = {}): Promise<Readiness> {
    return await this.#transport.json('/readyz', readinessSchema, { expect: [200, 503], signal });
  }

  /** The server's findings about its own surroundings. */
  async diagnosis({ signal }: CallOptions = {}): Promise<Diagnosis> {
    return await this.#transport.json('/doctor', diagnosisSchema, {
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  async #delete(
    path: string,
    query: Record<string, boolean>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const request = { method: 'DELETE', query, expect: [204], signal } as const;
    await this.#transport.send(path, request, async (response) => await response.body?.cancel());
  }

  #follow(path: string, options: FollowOptions) {
    const { signal } = options;
    const open = async (lastEventId: string | undefined) =>
      await openEventStream(this.#transport, path, { lastEventId, signal });
    return reconnectingStream(open, options);
  }

  async #peek(uploadId: string, { signal }: FollowOptions): Promise<UploadRecord | undefined> {
    try {
      return await this.getUpload(uploadId, { signal });
    } catch (error) {
      if (passes(error)) return undefined;
      throw error;
    }
  }
}

function readRecord({ event, data }: EventSourceMessage): UploadRecord | undefined {
  if (event !== UPLOAD_EVENT) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch (cause) {
    throw new UnexpectedAnswerError('an event does not hold JSON', 200, { cause });
  }
  const parsed = uploadRecordSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UnexpectedAnswerError(
    `an event does not hold an upload record (${describeIssues(parsed.error)})`,
    200,
  );
}

/** Writes a path with each value escaped. */
function path(texts: TemplateStringsArray, ...values: string[]): string {
  return String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(value)));
}
