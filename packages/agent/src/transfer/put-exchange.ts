import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RateLimit } from './rate-limit.ts';
import type { TransferTimings } from './timings.ts';

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
  #response: IncomingMessage | null = null;
  /** It is not the store that keeps the connection silent, or somebody else watches how long it does. */
  #silenceIsFine = false;

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

  /** @returns Whether all of the body was sent; an answer amid it is a refusal, and the rest is not wanted. */
  async sendBody(
    body: { first: IteratorResult<Buffer, void>; rest: AsyncGenerator<Buffer, void, void> },
    limit: RateLimit | null,
  ): Promise<boolean> {
    for (let next = body.first; next.done !== true; next = await body.rest.next()) {
      const slice = next.value;
      const step = limit === null ? slice.length : limit.sliceBytes;
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
    const timer = setTimeout(whenLate, ms);
    try {
      return await this.answer;
    } finally {
      clearTimeout(timer);
      this.#silenceIsFine = false;
    }
  }

  /** The answer is told too: Node destroys a request only once it has a socket, and a hanging proxy gives it none. */
  giveUp(): void {
    const stalled = new Stalled('ETIMEDOUT');
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
    try {
      await limit.take(bytes, this.#limits);
    } finally {
      this.#silenceIsFine = false;
    }
  }

  /** Resolves once the kernel has taken the bytes, so that the buffer can be filled again. */
  async #write(piece: Buffer): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.#put.write(piece, (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([written, this.answer]);
  }
}

export class Stalled extends Error {
  readonly code: string;

  constructor(code: 'ETIMEDOUT' | 'ECONNRESET') {
    super('the connection to the store made no progress');
    this.code = code;
  }
}
