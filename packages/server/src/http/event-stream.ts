import { EVENT_HEARTBEAT_MS, UPLOAD_EVENT, type UploadRecord } from '@backhaul/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A reader that lets this much pile up is cut off; it comes back with Last-Event-ID. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** Server-sent events on one response (WHATWG HTML, section 9.2). */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #gone = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;

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

  close(): void {
    if (this.#gone.signal.aborted) return;
    clearInterval(this.#heartbeat);
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
