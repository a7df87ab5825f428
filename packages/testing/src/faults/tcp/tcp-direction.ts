import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CATCH_UP_MS, type Direction, type LinkConditions } from './link-conditions.ts';

/** What is under way may be no more than this, as on a line with small buffers. */
const MOST_QUEUED_BYTES = 1024 * 1024;
/** And on a slow line no more than it sends in so long, or who measures it would see the buffer and not the line. */
const MOST_QUEUED_MS = 500;

/** Bytes, or how one side's sending came to its end. */
type Item = { readonly dueAt: number; readonly what: Buffer | 'end' | 'reset' };

export interface DirectionOptions {
  readonly direction: Direction;
  readonly conditions: LinkConditions;
  readonly signal: AbortSignal;
  /** Hands bytes to the other side. @returns False if it has to catch up. */
  readonly send: (bytes: Buffer) => boolean;
}

/** One of the two ways through a connection. */
export class TcpDirection {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: DirectionOptions;
  readonly #queue: Item[] = [];
  #queuedBytes = 0;
  readonly #begunAt = performance.now();
  /** When this way has sent all that was given to it. */
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
    // A reset may come while nothing is read, and even then it waits its turn.
    from.once('close', (hadError) => this.#push(hadError ? 'reset' : 'end'));
    options.signal.addEventListener('abort', () => this.#arrived.resolve(), { once: true });
    this.adjust();
  }

  /** Reads, or does not read, as the conditions are now. */
  adjust(): void {
    const { conditions, direction, signal } = this.#options;
    if (signal.aborted) return;
    const { bytesPerSecond = Infinity, delayMs } = conditions;
    const most = Math.min(MOST_QUEUED_BYTES, (bytesPerSecond * (MOST_QUEUED_MS + delayMs)) / 1000);
    const reads = conditions.passes(direction) && this.#queuedBytes < most;
    if (reads) this.#from.resume();
    else this.#from.pause();
  }

  /** Delivers until this way has come to its end. @throws AbortError */
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
    // Pieces of a twentieth of a second: a slow line is slow, not jerky.
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
