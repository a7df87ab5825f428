import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RateLimit } from './rate-limit.ts';
import type { TransferTimings } from './timings.ts';

/** Of a TLS connection: what OpenSSL has encrypted and not yet written is nowhere counted, so it stays little. */
const MAX_TLS_PIECE_BYTES = 128 * 1024;

export interface ExchangeLimits extends Pick<TransferTimings, 'connectMs'> {
  /** For all of it. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A PUT on its way: everything that can end it early ends it here. */
export class PutExchange {
  /** Rejects with why it ended; resolves as soon as the store answers, even amid the body. */
  readonly answer: Promise<IncomingMessage>;
  readonly #put: ClientRequest;
  readonly #limits: ExchangeLimits;
  readonly #fail: (reason: unknown) => void;
  readonly #deadline: NodeJS.Timeout;
  readonly #connecting: NodeJS.Timeout;
  #socket: Socket | null = null;
  #late: NodeJS.Timeout | undefined;
  #response: IncomingMessage | null = null;
  /** Of the body: written, and how much of that its last piece is. */
  #written = 0;
  #pieceBytes = 0;
  /** It is not the store that keeps the connection silent, or somebody else watches how long it does. */
  #silenceIsFine = false;
  #heldBackBy: RateLimit | null = null;

  constructor(put: ClientRequest, limits: ExchangeLimits) {
    this.#put = put;
    this.#limits = limits;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    this.answer = promise;
    this.#fail = reject;
    promise.catch(() => {}); // Whoever waits sees it; a body that fails first must not leave it unhandled.
    put.once('response', (response) => {
      this.#response = response;
      resolve(response);
    });
    put.on('error', reject);
    put.once('close', () => {
      if (this.#response === null) reject(new Stalled('ECONNRESET'));
    });
    put.once('socket', (socket) => this.#watch(socket));
    limits.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#connecting = setTimeout(() => this.giveUp(), limits.connectMs);
    this.#deadline = setTimeout(() => this.giveUp(), limits.deadlineMs);
  }

  /** Bytes of the body that the kernel has taken. */
  get bytesTaken(): number {
    // While a piece is being written, libuv counts what is left of it; Node's own time-outs rely on this number.
    const handle = (this.#socket as { _handle?: { writeQueueSize?: number } | null } | null)?._handle;
    return this.#written - Math.min(this.#pieceBytes, handle?.writeQueueSize ?? this.#pieceBytes);
  }

  /** @returns Whether all of the body was sent; an answer amid it is a refusal, and the rest is not wanted. */
  async sendBody(
    body: { first: IteratorResult<Buffer, void>; rest: AsyncGenerator<Buffer, void, void> },
    limit: RateLimit | null,
  ): Promise<boolean> {
    for (let next = body.first; next.done !== true; next = await body.rest.next()) {
      const slice = next.value;
      const most = this.#socket instanceof TLSSocket ? MAX_TLS_PIECE_BYTES : slice.length;
      const step = Math.min(most, limit?.sliceBytes ?? most);
      for (let at = 0; at < slice.length; at += step) {
        const piece = slice.subarray(at, at + step);
        if (limit !== null) await this.#holdBack(limit, piece.length);
        await this.#write(piece);
        if (this.#response !== null) return false;
      }
    }
    this.#put.end();
    return true;
  }

  /** The answer to the whole body. @param whenLate After so many milliseconds; it may give up. */
  async answerWithin(ms: number, whenLate: () => void): Promise<IncomingMessage> {
    this.#silenceIsFine = true;
    this.#late = setTimeout(whenLate, ms);
    try {
      return await this.answer;
    } finally {
      clearTimeout(this.#late);
      // `refresh` would wind it again.
      this.#late = undefined;
      this.#silenceIsFine = false;
    }
  }

  /** The connection, once there is one that takes bytes. */
  get socket(): Socket | null {
    return this.#socket === null || this.#socket.connecting ? null : this.#socket;
  }

  /** Whose rate limit, if not the connection, keeps it silent: that of its own upload, or the one of all. */
  get heldBack(): 'by_its_own' | 'by_all' | null {
    if (this.#heldBackBy === null) return null;
    return this.#heldBackBy.isWaitedFor && this.#heldBackBy.isOfOne ? 'by_its_own' : 'by_all';
  }

  /** The other side has acknowledged bytes, though this one had nothing to write or could not: the waits start again. */
  progressed(): void {
    this.#late?.refresh();
    this.#socket?.setTimeout(this.#socket.timeout ?? 0);
  }

  /**
   * The answer is told too: Node destroys a request only once it has a socket, and a hanging proxy gives it none.
   *
   * @param alone Whether it is this connection that fell silent, and not the line.
   */
  giveUp({ alone = false }: { alone?: boolean } = {}): void {
    const stalled = new Stalled('ETIMEDOUT', { alone });
    this.#fail(stalled);
    this.#put.destroy(stalled);
  }

  /** Gives the connection back for the next part, or ends it if the exchange is unfinished. */
  close(): void {
    clearTimeout(this.#connecting);
    clearTimeout(this.#deadline);
    this.#limits.signal.removeEventListener('abort', this.#onAbort);
    this.#socket?.off('timeout', this.#onIdle);
    if (!this.#put.writableEnded || this.#response?.complete !== true) this.#put.destroy();
  }

  #watch(socket: Socket): void {
    this.#socket = socket;
    // On the socket, because the request passes on only its first time-out.
    socket.on('timeout', this.#onIdle);
    const connected = (): void => clearTimeout(this.#connecting);
    if (!socket.connecting) connected();
    else socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', connected);
  }

  readonly #onIdle = (): void => {
    // The next write or read winds the timer again.
    if (!this.#silenceIsFine) this.giveUp();
  };

  /** Not only told: a disk that hangs must not keep the connection. */
  readonly #onAbort = (): void => {
    this.#fail(this.#limits.signal.reason);
    this.#put.destroy();
  };

  async #holdBack(limit: RateLimit, bytes: number): Promise<void> {
    this.#silenceIsFine = true;
    this.#heldBackBy = limit;
    try {
      await limit.take(bytes, this.#limits);
    } finally {
      this.#silenceIsFine = false;
      this.#heldBackBy = null;
    }
  }

  /** Resolves once the kernel has taken the bytes, so that the buffer can be filled again. */
  async #write(piece: Buffer): Promise<void> {
    this.#written += piece.length;
    this.#pieceBytes = piece.length;
    const written = new Promise<void>((resolve, reject) => {
      this.#put.write(piece, (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([written, this.answer]);
    this.#pieceBytes = 0;
  }
}

export class Stalled extends Error {
  readonly code: string;
  /** Others went on meanwhile: it was this connection, not the line. */
  readonly alone: boolean;

  constructor(code: 'ETIMEDOUT' | 'ECONNRESET', { alone = false }: { alone?: boolean } = {}) {
    super('the connection to the store made no progress');
    this.code = code;
    this.alone = alone;
  }
}
