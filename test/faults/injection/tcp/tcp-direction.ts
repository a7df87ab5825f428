import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CATCH_UP_MS, type Direction, type LinkConditions } from './link-conditions.ts';

/** Maximum bytes in flight, as on a link with small buffers. */
const MOST_QUEUED_BYTES = 1024 * 1024;
/** Maximum send time of the bytes in flight: a larger buffer would distort measurements of a slow link. */
const MOST_QUEUED_MS = 500;

/** Bytes, or the way in which one side stopped sending. */
type Item = { readonly dueAt: number; readonly what: Buffer | 'end' | 'reset' };

export interface DirectionOptions {
  readonly direction: Direction;
  readonly conditions: LinkConditions;
  readonly signal: AbortSignal;
  /** Sends bytes to the other side. @returns False if the caller must wait for `drain`. */
  readonly send: (bytes: Buffer) => boolean;
}

/** One of the two directions of a connection. */
export class TcpDirection {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: DirectionOptions;
  readonly #queue: Item[] = [];
  #queuedBytes = 0;
  readonly #begunAt = performance.now();
  /** Time when this direction will have sent all its bytes. */
  #freeAt = 0;
  #arrived = Promise.withResolvers<void>();

  constructor(from: Socket, to: Socket, options: DirectionOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on('data', (chunk: Buffer) => {
      this.#push(chunk);
      this.adjust();
    });
    from.once('end', () => this.#push('end'));
    // A reset may arrive while reading is paused; it still waits behind the queue.
    from.once('close', (hadError) => this.#push(hadError ? 'reset' : 'end'));
    options.signal.addEventListener('abort', () => this.#arrived.resolve(), { once: true });
    this.adjust();
  }

  /** Pauses or resumes reading as the current conditions require. */
  adjust(): void {
    const { conditions, direction, signal } = this.#options;
    if (signal.aborted) return;
    const { bytesPerSecond = Infinity, delayMs } = conditions;
    const most = Math.min(MOST_QUEUED_BYTES, (bytesPerSecond * (MOST_QUEUED_MS + delayMs)) / 1000);
    const reads = conditions.passes(direction) && this.#queuedBytes < most;
    if (reads) this.#from.resume();
    else this.#from.pause();
  }

  /** Delivers queued items until this direction ends. @throws AbortError */
  async run(): Promise<void> {
    const { conditions, direction, signal } = this.#options;
    for (;;) {
      const { dueAt, what } = await this.#next();
      const waitMs = dueAt - performance.now();
      if (waitMs > 0) {
        await sleep(waitMs, undefined, { signal });
        conditions.effects.delay.add();
      }
      await conditions.passable(direction, signal);
      if (what === 'reset') {
        this.#to.resetAndDestroy();
        return;
      }
      if (what === 'end') {
        this.#to.end();
        return;
      }
      await this.#deliver(what);
      this.#queuedBytes -= what.length;
      this.adjust();
    }
  }

  async #deliver(chunk: Buffer): Promise<void> {
    const { conditions, direction, signal, send } = this.#options;
    const { bytesPerSecond = Infinity, connectionBytesPerSecond: ownRate = Infinity } = conditions;
    // Pieces last a twentieth of a second, so that a slow link is slow but not jerky.
    const most = Math.min(chunk.length, Math.max(1, Math.floor(Math.min(bytesPerSecond, ownRate) / 20)));
    for (let at = 0; at < chunk.length; at += most) {
      const piece = chunk.subarray(at, at + most);
      const waitMs = conditions.occupy(direction, piece.length);
      if (waitMs > 0) {
        await sleep(waitMs, undefined, { signal });
        conditions.effects.limitBandwidth.add();
      }
      await this.#keepTo(ownRate, piece.length);
      const taken = send(piece);
      signal.throwIfAborted();
      if (!taken) await writable(this.#to, signal);
    }
  }

  async #keepTo(bytesPerSecond: number, sizeBytes: number): Promise<void> {
    const { conditions, signal } = this.#options;
    const now = performance.now();
    this.#freeAt = Math.max(now - CATCH_UP_MS, this.#freeAt) + (sizeBytes / bytesPerSecond) * 1000;
    if (this.#freeAt - now < 1) return;
    await sleep(this.#freeAt - now, undefined, { signal });
    conditions.effects.limitConnectionBandwidth.add();
  }

  #push(what: Item['what']): void {
    const { delayMs, delaysHandshake } = this.#options.conditions;
    const sentAt = Math.max(performance.now(), this.#begunAt + (delaysHandshake ? 2 * delayMs : 0));
    this.#queue.push({ dueAt: delayMs === 0 ? 0 : sentAt + delayMs, what });
    if (Buffer.isBuffer(what)) this.#queuedBytes += what.length;
    this.#arrived.resolve();
  }

  async #next(): Promise<Item> {
    for (;;) {
      this.#options.signal.throwIfAborted();
      const item = this.#queue.shift();
      if (item !== undefined) return item;
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }
}

async function writable(socket: Socket, signal: AbortSignal): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
    signal.addEventListener('abort', done);
  });
  signal.throwIfAborted();
}
