import {
  EVENT_HEARTBEAT_MS,
  PROGRESS_EVENT,
  type ProgressEvent,
  UPLOAD_EVENT,
  type UploadRecord,
} from '@backhaul/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Nothing more is sent to a reader with this much buffered; a record is a few kilobytes. */
const HIGH_WATER_BYTES = 64 * 1024;
/** Maximum time for a closed stream to flush its data. */
const FLUSH_TIMEOUT_MS = 10_000;
/** Maximum delay of setTimeout; a stream does not live for 24 days. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * Server-sent events on one response (WHATWG HTML, section 9.2). Buffers at most {@link HIGH_WATER_BYTES} and one
 * record. A reader that reads nothing between two heartbeats is disconnected; it resumes with `Last-Event-ID`.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #closed = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #tokenEnd: NodeJS.Timeout;
  /** Bytes the reader had read at the last heartbeat, if more was buffered. */
  #takenBefore: number | undefined;
  #onDrained: (() => void) | undefined;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.on('close', () => this.close());
    reply.raw.on('drain', () => this.#onDrained?.());
    request.raw.socket.setKeepAlive(true);
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx buffers responses by default.
      'x-accel-buffering': 'no',
    });
    reply.raw.write('retry: 1000\n\n');
    this.#heartbeat = setInterval(() => this.#beat(), EVENT_HEARTBEAT_MS);
    const tokenLifeMs = Math.max(0, request.tokenExpiresAt - Date.now());
    this.#tokenEnd = setTimeout(() => this.close(), Math.min(tokenLifeMs, MAX_TIMEOUT_MS));
    // The reader may have disconnected while the token was checked; no event reports that again.
    if (request.raw.socket.destroyed) this.close();
  }

  /** Aborts when the reader has disconnected or the stream was closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Resolves once the reader has read enough for the next record, or has disconnected. */
  async send(id: string, record: UploadRecord): Promise<void> {
    await this.#write(`id: ${id}\nevent: ${UPLOAD_EVENT}\ndata: ${JSON.stringify(record)}\n\n`);
  }

  /** Like `send`, without an id, so that `Last-Event-ID` stays that of the last record. */
  async sendProgress(progress: ProgressEvent): Promise<void> {
    await this.sendEvent(PROGRESS_EVENT, progress);
  }

  /** An event without an id. */
  async sendEvent(event: string, data: unknown): Promise<void> {
    await this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async #write(event: string): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#reply.raw.write(event);
    if (this.#reply.raw.writableLength < HIGH_WATER_BYTES) return;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#tokenEnd);
    this.#closed.abort();
    this.#onDrained?.();
    const { raw } = this.#reply;
    const cutOff = setTimeout(() => raw.destroy(), FLUSH_TIMEOUT_MS);
    raw.once('close', () => clearTimeout(cutOff));
    raw.end();
    if (raw.closed) clearTimeout(cutOff);
  }

  #beat(): void {
    const { raw } = this.#reply;
    if (raw.writableLength === 0) {
      this.#takenBefore = undefined;
      raw.write(': still here\n\n');
      return;
    }
    const taken = (raw.socket?.bytesWritten ?? 0) - raw.writableLength;
    if (taken === this.#takenBefore) {
      this.close();
      raw.destroy();
    }
    this.#takenBefore = taken;
  }
}
