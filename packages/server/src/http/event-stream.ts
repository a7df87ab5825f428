import { EVENT_HEARTBEAT_MS, UPLOAD_EVENT, type UploadRecord } from '@backhaul/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A reader that lets this much pile up is waited for, where the writer can wait. */
const HIGH_WATER_BYTES = 256 * 1024;
/** A reader that lets this much pile up all the same is cut off; it comes back with Last-Event-ID. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/** setTimeout's longest; a stream does not live for 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Server-sent events on one response (WHATWG HTML, section 9.2). */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #gone = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #tokenEnd: NodeJS.Timeout;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.on('close', () => this.close());
    request.raw.socket.setKeepAlive(true);
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx buffers answers unless told not to.
      'x-accel-buffering': 'no',
    });
    reply.raw.write('retry: 1000\n\n');
    this.#heartbeat = setInterval(() => this.#write(': still here\n\n'), EVENT_HEARTBEAT_MS);
    const tokenLifeMs = Math.max(0, request.tokenExpiresAt - Date.now());
    this.#tokenEnd = setTimeout(() => this.close(), Math.min(tokenLifeMs, MAX_TIMER_MS));
    // Who left while the token was being checked is not announced again.
    if (request.raw.socket.destroyed) this.close();
  }

  /** Aborts when the reader has gone or the stream was closed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  send(id: string, record: UploadRecord): void {
    this.#write(`id: ${id}\nevent: ${UPLOAD_EVENT}\ndata: ${JSON.stringify(record)}\n\n`);
  }

  /** Resolves once the reader has taken most of what was sent, or has gone; never before other work had its turn. */
  async drained(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#gone.signal.aborted || this.#reply.raw.writableLength < HIGH_WATER_BYTES) return;
    await new Promise<void>((resolve) => {
      this.#reply.raw.once('drain', resolve);
      this.#gone.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  close(): void {
    if (this.#gone.signal.aborted) return;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#tokenEnd);
    this.#gone.abort();
    this.#reply.raw.end();
  }

  #write(text: string): void {
    if (this.#gone.signal.aborted) return;
    this.#reply.raw.write(text);
    if (this.#reply.raw.writableLength > MAX_BUFFERED_BYTES) {
      this.close();
      this.#reply.raw.destroy();
    }
  }
}
