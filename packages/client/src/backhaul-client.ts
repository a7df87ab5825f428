import {
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
  type Diagnosis,
  diagnosisSchema,
  hasEnded,
  MAX_WAIT_SECONDS,
  type ObjectVerification,
  objectVerificationSchema,
  type Opened,
  type Readiness,
  readinessSchema,
  type TriggerRequest,
  type UploadLimits,
  type UploadList,
  uploadListSchema,
  type UploadRecord,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { listDirectory, runCommand } from './commands.ts';
import type { FollowOptions } from './event-stream.ts';
import { followAllUploads, followUpload } from './follow-uploads.ts';
import type {
  AuditFilter,
  CallOptions,
  ClientFilter,
  CommandOptions,
  PageOptions,
  TriggerOptions,
  UploadFilter,
} from './call-options.ts';
import type { Fetch } from './fetch.ts';
import { path, Transport, type TransportOptions } from './transport.ts';
import { UnexpectedAnswerError } from './errors.ts';

/** Cancel and verify on a server of 0.1.0 wait for the object store. */
const SLOW_REQUEST_TIMEOUT_MS = 120_000;

/**
 * Backhaul's REST API and event streams. Every method throws `ApiError` if the server returns an error,
 * `ConnectionError` if it cannot be reached, `UnexpectedAnswerError` if the response is not that of a Backhaul server
 * of this version, and the signal's reason when aborted. Requests have deadlines and are not retried, except a GET on
 * a stale socket. Unless stated otherwise, a method requires the scope `read`.
 */
export class BackhaulClient {
  readonly #transport: Transport;

  /** @throws TypeError if `url` or `token` is invalid. */
  constructor(options: TransportOptions) {
    this.#transport = new Transport(options);
  }

  /** Scheme, host and port of the server. */
  get origin(): string {
    return this.#transport.origin;
  }

  /** The fetch function of this client, for presigned URLs through the same proxies. Does not send the token. */
  get fetch(): Fetch {
    return this.#transport.fetch;
  }

  /**
   * Starts an upload, or returns an unfinished one of the same file, `on_change` and `limits` (see `force`). Requires the
   * scope `trigger`.
   *
   * @returns The record, which is durable; it is terminal only if the upload ended within `waitSeconds`.
   * @throws ApiError `client_not_found`; `client_offline` with `offline: 'fail'`; and others.
   */
  async triggerDownload(
    clientId: string,
    request: TriggerRequest = {},
    { idempotencyKey, waitSeconds, signal }: TriggerOptions = {},
  ): Promise<UploadRecord> {
    const call = { method: 'POST', body: request, expect: [200, 202], signal } as const;
    const to = path`/trigger-download/${clientId}`;
    if (waitSeconds === undefined) {
      const headers = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
      return await this.#transport.json(to, uploadRecordSchema, { ...call, headers });
    }
    // With the key, repeated requests return the same upload.
    const headers = { 'idempotency-key': idempotencyKey ?? crypto.randomUUID() };
    return await this.#transport.jsonWhenDone(
      to,
      uploadRecordSchema,
      { ...call, headers },
      {
        waitSeconds: Math.min(waitSeconds, MAX_WAIT_SECONDS),
        isDone: hasEnded,
      },
    );
  }

  /**
   * Returns the status of one machine: its connection, its unfinished uploads and its last upload.
   *
   * @throws ApiError `client_not_found` if the machine has never connected.
   */
  async getStatus(clientId: string, { signal }: CallOptions = {}): Promise<ClientStatus> {
    return await this.#transport.json(path`/status/${clientId}`, clientStatusSchema, { signal });
  }

  /**
   * Returns the current record of an upload. To wait for its end, use `followUpload`.
   *
   * @throws ApiError `upload_not_found`
   */
  async getUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}`, uploadRecordSchema, { signal });
  }

  /** Returns one page of uploads, newest first. `next_cursor` is null on the last page. */
  async listUploads(
    filter: UploadFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<UploadList> {
    return await this.#transport.json('/uploads', uploadListSchema, { query: { ...filter }, signal });
  }

  /** Iterates over all matching uploads, newest first, fetching pages as needed; `limit` is the page size. */
  async *eachUpload(
    filter: UploadFilter & { readonly limit?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<UploadRecord, void, undefined> {
    for await (const page of pages((cursor) => this.listUploads({ ...filter, cursor }, options)))
      yield* page.uploads;
  }

  /** Returns one page of the known machines, sorted by `client_id`. `next_cursor` is null on the last page. */
  async listClients(
    filter: ClientFilter & PageOptions = {},
    { signal }: CallOptions = {},
  ): Promise<ClientList> {
    return await this.#transport.json('/clients', clientListSchema, { query: { ...filter }, signal });
  }

  /** Iterates over all matching machines, sorted by `client_id`, fetching pages as needed. */
  async *eachClient(
    filter: ClientFilter & { readonly limit?: number } = {},
    options: CallOptions = {},
  ): AsyncGenerator<ClientSummary, void, undefined> {
    for await (const page of pages((cursor) => this.listClients({ ...filter, cursor }, options)))
      yield* page.clients;
  }

  /** Returns one page of the audit log, newest first. `next_cursor` is null on the last page. Requires the scope `audit`. */
  async listAudit(filter: AuditFilter & PageOptions = {}, { signal }: CallOptions = {}): Promise<AuditList> {
    return await this.#transport.json('/audit', auditListSchema, { query: { ...filter }, signal });
  }

  /**
   * Cancels an upload that has not ended. While it is `completing`, the server waits up to 5 s for the result. Requires
   * the scope `trigger`.
   *
   * @returns the record; still `completing`, with `cancel_requested_at`, if the object store has not responded: the
   *   cancellation is recorded, and `followUpload` waits for its end.
   * @throws ApiError `upload_not_found`; `upload_finished` if the upload has already ended or completes first.
   */
  async cancelUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    return await this.#transport.json(path`/uploads/${uploadId}/cancel`, uploadRecordSchema, {
      method: 'POST',
      expect: [200, 202],
      // RFC 7240. Without it the server responds with 200, for older clients that do not know 202.
      headers: { prefer: 'respond-async' },
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /**
   * Starts a new attempt of a failed, cancelled or expired upload with the same id. Requires the scope `trigger`.
   *
   * @throws ApiError `upload_not_found`, `upload_not_retryable`, `storage_unavailable`
   */
  async retryUpload(uploadId: string, { signal }: CallOptions = {}): Promise<UploadRecord> {
    const request = { method: 'POST', signal } as const;
    return await this.#transport.json(path`/uploads/${uploadId}/retry`, uploadRecordSchema, request);
  }

  /**
   * Deletes the record of an upload that has ended and, with `object`, also the stored object. Requires the scope `admin`.
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
   * Removes a machine until its agent reconnects; the records of its uploads remain. Requires the scope `admin`.
   *
   * @throws ApiError `client_not_found`; `client_busy` while the machine has unfinished uploads.
   */
  async deleteClient(clientId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#delete(path`/clients/${clientId}`, {}, signal);
  }

  /**
   * Sets the limits of each upload of a client, from its next attempt. The server's defaults apply to absent limits, and
   * lower limits set on the agent's machine still apply. Requires the scope `admin`.
   *
   * @throws ApiError `client_not_found`; `not_supported` if the agent is too old.
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
   * Blocks a machine: closes its connection and refuses its agent until it is unblocked. Its uploads wait, and expire at
   * their deadlines. Requires the scope `admin`.
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

  /** Lets a blocked machine reconnect; no error if it is not blocked. Requires the scope `admin`. */
  async unblockClient(clientId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#delete(path`/clients/${clientId}/block`, {}, signal);
  }

  /**
   * Runs a command on a connected agent and returns its result. Requires the scope `trigger`.
   *
   * @param name `health_check`, `list_directory` or `disk_usage`; determines the types of parameters and result.
   * @param options.signal Also cancels a command that reports progress on the agent.
   * @throws ApiError `client_not_found`, `client_offline`, `not_supported` by this agent, `command_timeout`, or the agent's
   *   own code, such as `path_not_allowed`.
   */
  async runCommand<Name extends CommandName>(
    clientId: string,
    name: Name,
    parameters: CommandParameters<Name>,
    options: CommandOptions<Name> = {},
  ): Promise<Opened<CommandResult<Name>>> {
    return await runCommand(this.#transport, { clientId, name, parameters }, options);
  }

  /**
   * Lists a directory of a connected machine, page by page, each sorted by name. An agent of 0.1.0 sends only the first
   * page, which may be `truncated`. Requires the scope `trigger`.
   *
   * @throws ApiError like `runCommand`; `not_supported` if the agent does not support `prefix` or `limit`.
   *   BackhaulError `protocol_error` if a page makes no progress, or after 2,000 pages.
   */
  async *listDirectory(
    clientId: string,
    parameters: CommandParameters<'list_directory'>,
    options: CallOptions = {},
  ): AsyncGenerator<Opened<CommandResult<'list_directory'>>, void, undefined> {
    yield* listDirectory(this.#transport, { clientId, parameters }, options);
  }

  /**
   * Yields the record of one upload, now and after each change, until it is terminal. Reconnects after lost connections.
   * Yields the same version again, at most about once a second, if only its `bytes_in_flight` has changed.
   *
   * @throws ApiError `upload_not_found`; the last error after the server was unreachable for `giveUpAfterMs`.
   */
  async *followUpload(
    uploadId: string,
    options: FollowOptions = {},
  ): AsyncGenerator<UploadRecord, void, undefined> {
    yield* followUpload(this.#transport, uploadId, options);
  }

  /**
   * Yields changes of all uploads from now on, until aborted. After a lost connection records may repeat, but the newest
   * of each upload is never missed. Connects when the iteration starts.
   *
   * @throws The last error after the server was unreachable for `giveUpAfterMs`.
   */
  async *followEvents(options: FollowOptions = {}): AsyncGenerator<UploadRecord, void, undefined> {
    yield* followAllUploads(this.#transport, options);
  }

  /**
   * Returns a presigned URL of the finished object: a secret until it expires, valid for any number of GET requests. Do
   * not send the token to it. Requires the scope `content`.
   *
   * @throws ApiError `upload_not_found`; `upload_not_completed` if there is no object yet; `object_not_found` if the
   *   object is no longer in the bucket.
   */
  async contentUrl(uploadId: string, { signal }: CallOptions = {}): Promise<string> {
    const request = { expect: [302, 303, 307], signal };
    return await this.#transport.send(path`/uploads/${uploadId}/content`, request, async (response) => {
      await response.body?.cancel();
      const location = response.headers.get('location');
      if (location !== null && URL.canParse(location, this.origin)) {
        return new URL(location, this.origin).href;
      }
      throw new UnexpectedAnswerError('the redirect to the content has no valid location', response.status);
    });
  }

  /**
   * Checks with a HEAD request to the store whether the object of a completed upload still matches its record. A
   * difference is returned in `verdict`, not thrown.
   *
   * @throws ApiError `upload_not_found`, `upload_not_completed`, `storage_unavailable`
   */
  async verifyUpload(uploadId: string, { signal }: CallOptions = {}): Promise<ObjectVerification> {
    return await this.#transport.json(path`/uploads/${uploadId}/verification`, objectVerificationSchema, {
      // A server of release 0.1.0 retries for a while before it reports that the store is unavailable.
      timeoutMs: SLOW_REQUEST_TIMEOUT_MS,
      signal,
    });
  }

  /** Returns the server's readiness with its checks. Not being ready is returned, not thrown. Requires no scope. */
  async readiness({ signal }: CallOptions = {}): Promise<Readiness> {
    return await this.#transport.json('/readyz', readinessSchema, { expect: [200, 503], signal });
  }

  /** Returns the server's findings about its settings and bucket. Requires the scope `admin`; takes at most 2 minutes. */
  async diagnosis({ signal }: CallOptions = {}): Promise<Opened<Diagnosis>> {
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
}

/** Yields all pages of a list. */
async function* pages<Page extends { readonly next_cursor: string | null }>(
  fetchPage: (cursor: string | undefined) => Promise<Page>,
): AsyncGenerator<Page, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await fetchPage(cursor);
    yield page;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}
