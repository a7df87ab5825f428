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
  /** Written `name=value`. */
  readonly label?: string | undefined;
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

  /**
   * Starts a pull, or finds one of the same file that has not ended (see `force`). Needs the scope `trigger`.
   *
   * @returns The record, which is durable by now; it is terminal only after a long enough `waitSeconds`.
   * @throws ApiError among others `client_not_found`, and with `offline: 'fail'` `client_offline`.
   */
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

  /**
   * Cancels an upload that has not ended. While it is `completing`, the answer waits for the finding, 2 minutes at
   * most. Needs the scope `trigger`.
   *
   * @throws ApiError `upload_not_found`; `upload_finished` if it has ended, or has completed meanwhile.
   */
  async cancelUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/cancel`, uploadRecordSchema, {
      method: 'POST',
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
   * The record of one upload, now and after each change, until it is terminal. Survives lost connections;
   * each version is yielded once at most.
   *
   * @throws ApiError `upload_not_found`; the last error once the server has been away for `giveUpAfterMs`.
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
   * there.
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
   * it is not is an answer (`verdict`), and no error. Takes 2 minutes at most.
   *
   * @throws ApiError `upload_not_found`, `upload_not_completed`, `storage_unavailable`
   */
  async verifyUpload(uploadId: string, { signal }: CallOptions = {}): Promise<ObjectVerification> {
    return await this.#transport.json(path`/uploads/${uploadId}/verification`, objectVerificationSchema, {
      // The server tries again for a while before it says that the store is away.
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
