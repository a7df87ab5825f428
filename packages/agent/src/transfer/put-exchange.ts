import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RateLimit } from './rate-limit.ts';
import type { TransferTimings } from './transfer-deps.ts';

/** Maximum size of a write on TLS. Kept small, because bytes that OpenSSL has encrypted but not written are not counted. */
const MAX_TLS_PIECE_BYTES = 128 * 1024;

export interface ExchangeLimits extends Pick<TransferTimings, 'connectMs'> {
  /** Timeout of the whole exchange. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A running PUT with all its timeouts. */
export class PutExchange {
  /** Resolves when the store responds, even before the end of the body. Rejects if the exchange fails. */
  readonly response: Promise<IncomingMessage>;
  readonly #put: ClientRequest;
  readonly #limits: ExchangeLimits;
  readonly #fail: (reason: unknown) => void;
  readonly #deadline: NodeJS.Timeout;
  readonly #connecting: NodeJS.Timeout;
  #socket: Socket | null = null;
  #late: NodeJS.Timeout | undefined;
  #received: IncomingMessage | null = null;
  /** Body bytes passed to the socket, and the size of the last piece. */
  #written = 0;
  #pieceBytes = 0;
  /** Idle timeout is suspended. */
  #idleSuspended = false;
  #heldBackBy: RateLimit | null = null;

  constructor(put: ClientRequest, limits: ExchangeLimits) {
    this.#put = put;
    this.#limits = limits;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    this.response = promise;
    this.#fail = reject;
    promise.catch(() => {}); // Avoids an unhandled rejection if the body fails first.
    put.once('response', (response) => {
      this.#received = response;
      resolve(response);
    });
    put.on('error', reject);
    put.once('close', () => {
      if (this.#received === null) reject(new Stalled('ECONNRESET'));
    });
    put.once('socket', (socket) => this.#watch(socket));
    limits.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#connecting = setTimeout(() => this.timeOut(), limits.connectMs);
    this.#deadline = setTimeout(() => this.timeOut(), limits.deadlineMs);
  }

  /** Bytes of the body that the kernel has taken. */
  get bytesTaken(): number {
    // During a write, libuv counts the remaining bytes; Node's own timeouts rely on this number.
    const handle = (this.#socket as { _handle?: { writeQueueSize?: number } | null } | null)?._handle;
    return this.#written - Math.min(this.#pieceBytes, handle?.writeQueueSize ?? this.#pieceBytes);
  }

  /** @returns Whether the whole body was sent. A response before its end is a rejection, and sending stops. */
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
        if (this.#received !== null) return false;
      }
    }
    this.#put.end();
    return true;
  }

  /** Waits for the response to the whole body. @param onTimeout Called after `ms` milliseconds. */
  async responseWithin(ms: number, onTimeout: () => void): Promise<IncomingMessage> {
    this.#idleSuspended = true;
    this.#late = setTimeout(onTimeout, ms);
    try {
      return await this.response;
    } finally {
      clearTimeout(this.#late);
      // `refresh` would restart it.
      this.#late = undefined;
      this.#idleSuspended = false;
    }
  }

  /** The socket; null until it is connected. */
  get socket(): Socket | null {
    return this.#socket === null || this.#socket.connecting ? null : this.#socket;
  }

  /** The rate limit that holds the PUT back: of its own upload, or of all uploads; null if none does. */
  get heldBack(): 'by_its_own' | 'by_all' | null {
    if (this.#heldBackBy === null) return null;
    return this.#heldBackBy.hasWaiters && this.#heldBackBy.isPerUpload ? 'by_its_own' : 'by_all';
  }

  /** Restarts the timeouts because the peer has acknowledged bytes, although nothing was written. */
  restartTimeouts(): void {
    this.#late?.refresh();
    this.#socket?.setTimeout(this.#socket.timeout ?? 0);
  }

  /**
   * Fails the exchange with a timeout. Also rejects the response, because Node destroys a request only once it has a
   * socket, which a hanging proxy does not provide.
   *
   * @param alone Whether only this connection became silent, not the whole network.
   */
  timeOut({ alone = false }: { alone?: boolean } = {}): void {
    const stalled = new Stalled('ETIMEDOUT', { alone });
    this.#fail(stalled);
    this.#put.destroy(stalled);
  }

  /** Returns the connection to the pool, or closes it if the exchange is unfinished. */
  close(): void {
    clearTimeout(this.#connecting);
    clearTimeout(this.#deadline);
    this.#limits.signal.removeEventListener('abort', this.#onAbort);
    this.#socket?.off('timeout', this.#onIdle);
    if (!this.#put.writableEnded || this.#received?.complete !== true) this.#put.destroy();
  }

  #watch(socket: Socket): void {
    this.#socket = socket;
    // On the socket, because the request forwards only the first timeout.
    socket.on('timeout', this.#onIdle);
    const connected = (): void => clearTimeout(this.#connecting);
    if (!socket.connecting) connected();
    else socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', connected);
  }

  readonly #onIdle = (): void => {
    // The next write or read restarts the timer.
    if (!this.#idleSuspended) this.timeOut();
  };

  /** Also destroys the request, because a hanging disk must not keep the connection open. */
  readonly #onAbort = (): void => {
    this.#fail(this.#limits.signal.reason);
    this.#put.destroy();
  };

  async #holdBack(limit: RateLimit, bytes: number): Promise<void> {
    this.#idleSuspended = true;
    this.#heldBackBy = limit;
    try {
      await limit.take(bytes, this.#limits);
    } finally {
      this.#idleSuspended = false;
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
    await Promise.race([written, this.response]);
    this.#pieceBytes = 0;
  }
}

export class Stalled extends Error {
  readonly code: string;
  /** Other connections made progress: the problem is this connection, not the network. */
  readonly alone: boolean;

  constructor(code: 'ETIMEDOUT' | 'ECONNRESET', { alone = false }: { alone?: boolean } = {}) {
    super('the connection to the store made no progress');
    this.code = code;
    this.alone = alone;
  }
}
