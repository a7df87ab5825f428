import {
  BackhaulError,
  type AuditList,
  auditListSchema,
  type ClientBlock,
  clientBlockSchema,
  type ClientList,
  clientListSchema,
  type ClientStatus,
  clientStatusSchema,
  type ClientSummary,
  clientSummarySchema,
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
  PROGRESS_EVENT,
  progressEventSchema,
  type Readiness,
  readinessSchema,
  type TriggerRequest,
  UPLOAD_EVENT,
  type UploadLimits,
  type UploadList,
  uploadListSchema,
  type UploadRecord,
  uploadRecordSchema,
  type UploadStatus,
} from '@backhaul/protocol';
import type { EventSourceMessage } from 'eventsource-parser';
import { openEventStream } from './event-stream.ts';
import type { Fetch } from './fetch.ts';
import { type FollowOptions, passes, reconnectingStream } from './reconnecting-stream.ts';
import { Transport, type TransportOptions } from './transport.ts';
import { UnexpectedAnswerError } from './unexpected-answer-error.ts';

/** Beyond what the server itself waits for. */
const ANSWER_MARGIN_MS = 30_000;

/** A cancel at a server of release 0.1.0 waits for the finding of a completing upload; a command for its agent. */
const SLOW_REQUEST_TIMEOUT_MS = 120_000;

/** Entries of a page of `listDirectory`. */
const MAX_LISTED = 5000;

/** Ten million entries, or somewhat fewer where names are so long that a frame holds less than a page. */
const MAX_LIST_PAGES = 2000;

export type BackhaulClientOptions = TransportOptions;

export interface CallOptions {
  /** Ends the request; the method throws its reason. What the server has begun goes on. */
  readonly signal?: AbortSignal | undefined;
}

export interface TriggerOptions extends CallOptions {
  /**
   * The same key with the same request starts one pull only, however often it is sent; with another request it is
   * refused as `idempotency_conflict`. 1 to 255 visible ASCII characters.
   */
  readonly idempotencyKey?: string | undefined;
  /** Asks the server to answer only when the pull has ended, or after so many seconds, 1 to 300. */
  readonly waitSeconds?: number | undefined;
}

export interface UploadFilter {
  readonly client_id?: string | undefined;
  readonly status?: UploadStatus | undefined;
}

export interface ClientFilter {
  readonly connected?: boolean | undefined;
  /** Written `name=value`; of several, all have to hold (servers of release 0.1.0 take one). */
  readonly label?: string | readonly string[] | undefined;
}

export interface AuditFilter {
  readonly client_id?: string | undefined;
  /** Subject of a token. */
  readonly actor?: string | undefined;
  /** Such as `upload.trigger`. */
  readonly action?: string | undefined;
  /** ISO 8601, UTC; inclusive. */
  readonly since?: string | undefined;
  /** The same, exclusive. */
  readonly until?: string | undefined;
}

export interface PageOptions {
  /** Records in a page, 1 to 500. Default: the server's, 50. */
  readonly limit?: number | undefined;
  /** `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
}

/**
 * Backhaul's REST API and event streams. Every method throws `ApiError` when the server says no, `ConnectionError`
 * when it cannot be reached, `UnexpectedAnswerError` when what answers is no Backhaul server of this version, and
 * the signal's reason when aborted. Requests have deadlines and are not repeated, except a GET on a stale socket.
 * Unless said otherwise, the token needs the scope `read`.
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

  /** How this client makes its requests: for presigned URLs in its answers, over the same proxies. Sends no token. */
  get fetch(): Fetch {
    return this.#transport.fetch;
  }

  /**
   * Starts a pull, or finds one of the same file, `on_change` and `limits` that has not ended (see `force`). Needs the scope `trigger`.
   *
   * @returns The record, which is durable by now; it is terminal only after a long enough `waitSeconds`.
   * @throws ApiError among others `client_not_found`, and with `offline: 'fail'` `client_offline`.
   */
  async triggerDownload(
    clientId: string,
    request: TriggerRequest = {},
    { idempotencyKey, waitSeconds, signal }: TriggerOptions = {},
  ): Promise<UploadRecord> {
    const call = { method: 'POST', body: request, expect: [200, 202], signal } as const;
    const to = path`/trigger-download/${clientId}`;
    if (waitSeconds === undefined) {
      const headers: Record<string, string> = {};
      if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
      return await this.#transport.json(to, uploadRecordSchema, { ...call, headers });
    }
    // By its key a repeated request is the same upload.
    const key = idempotencyKey ?? crypto.randomUUID();
    for (let left = Math.min(waitSeconds, MAX_WAIT_SECONDS); ;) {
      const { value, applied } = await this.#transport.answer(to, uploadRecordSchema, {
        ...call,
        headers: { 'idempotency-key': key, prefer: `wait=${left}` },
        timeoutMs: left * 1000 + ANSWER_MARGIN_MS,
      });
      // Less than was asked for: a reverse proxy is in between that would not have waited for the response.
      if (isTerminal(value.status) || applied === null || applied < 1 || applied >= left) return value;
      left -= applied;
    }
  }

  /**
   * One machine: its connection, the uploads that have not ended, and the last one.
   *
   * @throws ApiError `client_not_found` for one that has never connected.
   */
  async getStatus(clientId: string, { signal }: CallOptions = {}): Promise<ClientStatus> {
    return await this.#transport.json(path`/status/${clientId}`, clientStatusSchema, { signal });
  }

  /**
   * An upload as it is now. To wait for its end, follow it.
   *
   * @throws ApiError `upload_not_found`
   */
  async getUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}`, uploadRecordSchema, { signal });
  }

  /** One page of uploads, newest first. `next_cursor` is null on the last. */
  async listUploads(
    filter: UploadFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<UploadList> {
    return await this.#transport.json('/uploads', uploadListSchema, { query: { ...filter }, signal });
  }

  /** Every upload that matches, newest first, page by page as the consumer goes on; `limit` is that of a page. */
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

  /** One page of the machines that are known, by `client_id`. `next_cursor` is null on the last. */
  async listClients(
    filter: ClientFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<ClientList> {
    return await this.#transport.json('/clients', clientListSchema, { query: { ...filter }, signal });
  }

  /** Every machine that matches, by `client_id`, page by page as the consumer goes on. */
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

  /** One page of what operators did, newest first. `next_cursor` is null on the last. Needs the scope `audit`. */
  async listAudit(filter: AuditFilter & PageOptions = {}, { signal }: CallOptions = {}): Promise<AuditList> {
    return await this.#transport.json('/audit', auditListSchema, { query: { ...filter }, signal });
  }

  /**
   * Cancels an upload that has not ended. While it is `completing`, the answer waits up to 5 s for the finding. Needs the
   * scope `trigger`.
   *
   * @returns the record; still `completing`, with `cancel_requested_at`, if the object store has not answered: the cancel
   *   is remembered then, and to wait for its end, follow the upload.
   * @throws ApiError `upload_not_found`; `upload_finished` if it has ended, or has completed meanwhile.
   */
  async cancelUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/cancel`, uploadRecordSchema, {
      method: 'POST',
      expect: [200, 202],
      // RFC 7240; a server would answer 200 to a client of before, which knew no 202.
      headers: { prefer: 'respond-async' },
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /**
   * Starts a new attempt of a failed, cancelled or expired upload, under the same id. Needs the scope `trigger`.
   *
   * @throws ApiError `upload_not_found`, `upload_not_retryable`, `storage_unavailable`
   */
  async retryUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/retry`, uploadRecordSchema, {
      method: 'POST',
      signal,
    });
  }

  /**
   * Removes the record of an ended upload, and with `object` the stored object too. Needs the scope `admin`.
   *
   * @throws ApiError `upload_not_found`, `upload_not_finished`, `storage_unavailable`
   */
  async deleteUpload(
    uploadId: string,
    { object = false, signal }: CallOptions & { readonly object?: boolean } = {},
  ): Promise<void> {
    await this.#delete(path`/uploads/${uploadId}`, object ? { object } : {}, signal);
  }

  /**
   * Forgets a machine, until its agent connects again; its uploads stay. Needs the scope `admin`.
   *
   * @throws ApiError `client_not_found`; `client_busy` while uploads of it have not ended.
   */
  async deleteClient(clientId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#delete(path`/clients/${clientId}`, {}, signal);
  }

  /**
   * Sets how fast each upload of a client may go, from its next attempt on; what is absent is as the server has it. Needs
   * the scope `admin`. The owner of the agent may have lower limits, which hold as well.
   *
   * @throws ApiError `client_not_found`; `not_supported` by an agent that is too old.
   */
  async setClientLimits(
    clientId: string,
    limits: UploadLimits,
    { signal }: CallOptions = {},
  ): Promise<ClientSummary> {
    return await this.#transport.json(path`/clients/${clientId}/limits`, clientSummarySchema, {
      method: 'PUT',
      body: limits,
      signal,
    });
  }

  /**
   * Keeps a machine away: its connection is closed and its agent refused, until it is unblocked. Its uploads wait, and end
   * at their deadlines. Needs the scope `admin`.
   */
  async blockClient(
    clientId: string,
    { reason, signal }: CallOptions & { readonly reason?: string | undefined } = {},
  ): Promise<ClientBlock> {
    return await this.#transport.json(path`/clients/${clientId}/block`, clientBlockSchema, {
      method: 'PUT',
      body: reason === undefined ? {} : { reason },
      signal,
    });
  }

  /** Lets a blocked machine connect again; no error for one that is not blocked. Needs the scope `admin`. */
  async unblockClient(clientId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#delete(path`/clients/${clientId}/block`, {}, signal);
  }

  /**
   * Runs a command on a connected agent and returns what it answered. Needs the scope `trigger`.
   *
   * @param name `health_check`, or `list_directory` with `{ path }`; the result is typed by it.
   * @throws ApiError `client_not_found`, `client_offline`, `command_timeout`, or the agent's own code, such as
   *   `path_not_allowed`.
   */
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
   * A directory of a connected machine, page by page, each in the order of names. From an agent of 0.1.0 only the first
   * page comes, and it may be `truncated`. Needs the scope `trigger`.
   *
   * @throws ApiError as `runCommand`; `not_supported` for a `prefix` or `limit` that the agent does not know.
   *   BackhaulError `protocol_error` if the agent's pages lead nowhere, or are more than 2,000.
   */
  async *listDirectory(
    clientId: string,
    parameters: CommandParameters<'list_directory'>,
    options: CallOptions = {},
  ): AsyncGenerator<CommandResult<'list_directory'>, void, undefined> {
    let left = parameters.limit ?? Infinity;
    let cursor = parameters.cursor;
    for (let pages = 1; ; pages += 1) {
      const page = await this.runCommand(
        clientId,
        'list_directory',
        {
          ...parameters,
          ...(cursor !== undefined && { cursor }),
          ...(left < Infinity && { limit: Math.min(left, MAX_LISTED) }),
        },
        options,
      );
      yield page;
      left -= page.entries.length;
      const next = page.next_cursor;
      if (next === undefined || left <= 0) return;
      // The agent is not trusted: it must not keep its reader indefinitely.
      if (page.entries.length === 0 || next === cursor || pages === MAX_LIST_PAGES) {
        throw new BackhaulError('protocol_error', 'The agent lists the directory without coming to an end.');
      }
      cursor = next;
    }
  }

  /**
   * The record of one upload, now and after each change, until it is terminal. Survives lost connections. A version
   * is yielded once more, about once a second at most, when only its `bytes_in_flight` has moved.
   *
   * @throws ApiError `upload_not_found`; the last error once the server has been away for `giveUpAfterMs`.
   */
  async *followUpload(
    uploadId: string,
    options: FollowOptions = {},
  ): AsyncGenerator<UploadRecord, void, undefined> {
    let last: UploadRecord | undefined;
    for await (const event of this.#follow(path`/uploads/${uploadId}/events`, options)) {
      if (event.kind === 'message' && event.message.event === PROGRESS_EVENT) {
        const { version, bytes_in_flight } = readEvent(event.message, progressEventSchema);
        if (version === last?.version) yield { ...last, bytes_in_flight };
        continue;
      }
      const record =
        event.kind === 'message'
          ? readRecord(event.message)
          : // A proxy that holds events back must not hide the end.
            await this.#peek(uploadId, options);
      if (record === undefined || record.version <= (last?.version ?? 0)) continue;
      last = record;
      yield record;
      if (isTerminal(record.status)) return;
    }
  }

  /**
   * Changes of all uploads from now on, until aborted. After a lost connection records may repeat, but the newest
   * of each upload is never missed. Starts no sooner than the iteration does.
   *
   * @throws The last error once the server has been away for `giveUpAfterMs`.
   */
  async *followEvents(options: FollowOptions = {}): AsyncGenerator<UploadRecord, void, undefined> {
    for await (const event of this.#follow('/events', options)) {
      const record = event.kind === 'message' ? readRecord(event.message) : undefined;
      if (record !== undefined) yield record;
    }
  }

  /**
   * A presigned URL of the finished object: a secret until it expires, and good for one GET or many. Send no token
   * there. Needs the scope `content`.
   *
   * @throws ApiError `upload_not_found`; `upload_not_completed` for one that has no object yet;
   *   `object_not_found` if it is no longer in the bucket.
   */
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

  /**
   * Whether the stored object of a completed upload is still what its record says, as the store's HEAD tells. That
   * it is not is an answer (`verdict`), and no error.
   *
   * @throws ApiError `upload_not_found`, `upload_not_completed`, `storage_unavailable`
   */
  async verifyUpload(uploadId: string, { signal }: CallOptions = {}): Promise<ObjectVerification> {
    return await this.#transport.json(path`/uploads/${uploadId}/verification`, objectVerificationSchema, {
      // A server of release 0.1.0 tries again for a while before it says that the store is away.
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /**
   * What the server needs to do its work, and whether it has it. Not being ready is an answer, and no error. Needs no
   * scope.
   */
  async readiness({ signal }: CallOptions = {}): Promise<Readiness> {
    return await this.#transport.json('/readyz', readinessSchema, { expect: [200, 503], signal });
  }

  /** The server's findings about its own settings and bucket. Needs the scope `admin`; takes 2 minutes at most. */
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

function readRecord(message: EventSourceMessage): UploadRecord | undefined {
  return message.event === UPLOAD_EVENT ? readEvent(message, uploadRecordSchema) : undefined;
}

function readEvent<Schema extends typeof uploadRecordSchema | typeof progressEventSchema>(
  { event, data }: EventSourceMessage,
  schema: Schema,
): ReturnType<Schema['parse']> {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch (cause) {
    throw new UnexpectedAnswerError('an event does not hold JSON', 200, { cause });
  }
  const parsed = schema.safeParse(json);
  // TypeScript does not relate the schema to what it reads.
  if (parsed.success) return parsed.data as ReturnType<Schema['parse']>;
  throw new UnexpectedAnswerError(
    `an event "${event}" does not hold what it should (${describeIssues(parsed.error)})`,
    200,
  );
}

/** Writes a path with each value escaped. */
function path(texts: TemplateStringsArray, ...values: string[]): string {
  return String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(value)));
}
