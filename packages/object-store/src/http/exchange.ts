import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AccessLog } from '../access-log.ts';
import { ClientDisconnected, receive } from './receive-body.ts';
import { RequestBody } from '../body/request-body.ts';
import { S3Error } from '../errors.ts';
import type { Operation, OperationContext } from '../operations/operation.ts';
import { route, type OperationName } from '../operations.ts';
import { authenticate } from '../signature/authenticate.ts';
import type { Credentials } from '../signature/sigv4.ts';
import { endResponse, sendResponse, sendError } from './send-response.ts';
import {
  collectHeaders,
  hoistQuery,
  parseRequestTarget,
  type RequestTarget,
  singleQuery,
} from './request-head.ts';

export interface ExchangeSettings {
  readonly credentials: Credentials;
  readonly operations: Readonly<Record<OperationName, Operation>>;
  readonly context: Omit<OperationContext, 'signal'>;
  readonly accessLog: AccessLog | undefined;
  /** Maximum time without data within a body, in either direction, in ms. */
  readonly stallTimeoutMs: number;
  /** Called with errors other than S3Error: faults of the store or its disk. */
  readonly onFault: (error: unknown) => void;
  readonly nowMs: () => number;
}

/** After an error, this much of the body is still read, so that the client gets the response and not a reset. */
const DRAIN_LIMIT_BYTES = 8 * 1024 * 1024;
const DRAIN_TIMEOUT_MS = 5000;

/** One request and its response, from the first header to the entry in the access log. */
export class Exchange {
  readonly #incoming: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #settings: ExchangeSettings;
  readonly #requestId = randomBytes(8).toString('hex').toUpperCase();
  readonly #startedAtMs: number;
  /** The client waits for `100 Continue` before it sends its body. */
  #awaitsContinue: boolean;
  #target: RequestTarget | undefined;
  #query: ReadonlyMap<string, string> = new Map();
  #operation: OperationName | undefined;
  #errorCode: string | undefined;
  /** Status of the response, even if the client disconnected before it was sent. */
  #status: number | undefined;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(
    incoming: IncomingMessage,
    response: ServerResponse,
    settings: ExchangeSettings & { readonly awaitsContinue: boolean },
  ) {
    this.#incoming = incoming;
    this.#response = response;
    this.#settings = settings;
    this.#awaitsContinue = settings.awaitsContinue;
    this.#startedAtMs = settings.nowMs();
  }

  /** Never rejects: every outcome is a response or a closed connection. */
  async run(signal: AbortSignal): Promise<void> {
    // A broken connection is handled where its bytes are read or written.
    this.#response.on('error', () => undefined);
    this.#response.setHeader('x-amz-request-id', this.#requestId);
    this.#response.setHeader('server', 'backhaul-object-store');
    try {
      await this.#respond(signal);
    } catch (error) {
      await this.#respondWithError(error);
    }
    await this.#finish();
    this.#log();
  }

  async #respond(signal: AbortSignal): Promise<void> {
    const { credentials, operations, context, nowMs, stallTimeoutMs } = this.#settings;
    const received = collectHeaders(this.#incoming.rawHeaders);
    const target = parseRequestTarget(this.#incoming.url ?? '');
    const method = this.#incoming.method ?? '';
    this.#target = target;
    const authentication = authenticate({ method, target, headers: received }, credentials, nowMs());
    this.#query = singleQuery(target);
    const { headers, query } = authentication.presigned
      ? hoistQuery(received, this.#query)
      : { headers: received, query: this.#query };
    const { bucket, key } = target;
    this.#operation = route({ method, bucket, key, query, headers });
    const body = new RequestBody({ headers, authentication, receive: () => this.#receive(signal) });
    const request = { bucket, key, query, headers, body };
    const result = await operations[this.#operation](request, { ...context, signal });
    this.#status = result.status;
    await sendResponse(this.#response, result, {
      stallTimeoutMs,
      onBytes: (count) => (this.#bytesOut += count),
    });
  }

  #receive(signal: AbortSignal): AsyncIterable<Buffer> {
    if (this.#awaitsContinue) {
      this.#awaitsContinue = false;
      this.#response.writeContinue();
    }
    return receive(this.#incoming, {
      stallTimeoutMs: this.#settings.stallTimeoutMs,
      signal,
      onBytes: (count) => (this.#bytesIn += count),
    });
  }

  async #respondWithError(error: unknown): Promise<void> {
    if (error instanceof ClientDisconnected) {
      this.#errorCode = 'ClientGone';
      this.#response.destroy();
      return;
    }
    if (!(error instanceof S3Error)) this.#settings.onFault(error);
    const s3Error = error instanceof S3Error ? error : describeFault(error);
    this.#errorCode = s3Error.code;
    if (this.#response.headersSent) {
      // Part of the body was already sent: only a closed connection can signal the error.
      this.#response.destroy();
      return;
    }
    for (const name of this.#response.getHeaderNames()) {
      if (name !== 'x-amz-request-id' && name !== 'server') this.#response.removeHeader(name);
    }
    if (!this.#incoming.complete) this.#response.setHeader('connection', 'close');
    this.#status = s3Error.status;
    await sendError(this.#response, s3Error, {
      requestId: this.#requestId,
      resource: this.#target?.path ?? '/',
      head: this.#incoming.method === 'HEAD',
      stallTimeoutMs: this.#settings.stallTimeoutMs,
      onBytes: (count) => (this.#bytesOut += count),
    });
  }

  /** Ends the response after reading what the client still sends; closing earlier could lose the response. */
  async #finish(): Promise<void> {
    const silent = this.#awaitsContinue || this.#errorCode === 'RequestTimeout';
    if (!this.#incoming.complete && !silent && !this.#response.destroyed) await this.#drain();
    if (this.#response.destroyed || this.#response.writableFinished) return;
    await endResponse(this.#response, this.#settings.stallTimeoutMs);
  }

  async #drain(): Promise<void> {
    const deadline = AbortSignal.timeout(DRAIN_TIMEOUT_MS);
    let drained = 0;
    const rest = receive(this.#incoming, {
      stallTimeoutMs: DRAIN_TIMEOUT_MS,
      signal: deadline,
      onBytes: (count) => (this.#bytesIn += count),
    });
    try {
      for await (const chunk of rest) if ((drained += chunk.length) > DRAIN_LIMIT_BYTES) return;
    } catch {
      // Too slow or disconnected: the connection is closed in either case.
    }
  }

  #log(): void {
    const endedAtMs = this.#settings.nowMs();
    const partNumber = Number(this.#query.get('partNumber') ?? Number.NaN);
    this.#settings.accessLog?.write({
      request_id: this.#requestId,
      started_at: new Date(this.#startedAtMs).toISOString(),
      started_at_ms: this.#startedAtMs,
      ended_at: new Date(endedAtMs).toISOString(),
      ended_at_ms: endedAtMs,
      method: this.#incoming.method ?? '',
      operation: this.#operation ?? null,
      bucket: this.#target?.bucket ?? null,
      key: this.#target?.key ?? null,
      upload_id: this.#query.get('uploadId') ?? null,
      part_number: Number.isInteger(partNumber) ? partNumber : null,
      status: this.#status ?? null,
      error_code: this.#errorCode ?? null,
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
    });
  }
}

/** Hides details of internal errors, which may contain paths, except that the disk is full. */
function describeFault(error: unknown): S3Error {
  const full =
    error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
  return full
    ? new S3Error('InternalError', 'The disk of the data directory is full.')
    : new S3Error('InternalError');
}
