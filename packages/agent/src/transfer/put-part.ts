import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { BackhaulError } from '@backhaul/protocol';
import { MAX_SLICES } from '../file/buffer-pool.ts';
import type { AnswerPatience } from './answer-patience.ts';
import type { RateLimit } from './rate-limit.ts';
import type { StorageClient } from './storage-client.ts';
import { judgeAnswer, judgeNoAnswer, readErrorDocument, type Verdict } from './storage-errors.ts';

/** Of an answer's body; S3's error documents are a few hundred bytes. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** A store that trickles must end too: slower than this on average, and the PUT is given up. Bytes per second. */
const SLOWEST_BYTES_PER_SECOND = 4096;
const DEADLINE_BASE_MS = 600_000;

export interface PutRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly length: number;
  /** Closed at the end, however it comes. */
  readonly body: AsyncGenerator<Buffer, void, void>;
  /** Not on a kept-alive connection. */
  readonly fresh: boolean;
}

export interface PutTools {
  readonly storage: StorageClient;
  readonly rateLimit: RateLimit | null;
  readonly stallMs: number;
  readonly patience: AnswerPatience;
}

export type PutResult =
  | { readonly ok: true; readonly etag: string }
  | { readonly ok: false; readonly verdict: Verdict };

/**
 * One attempt to store one part.
 *
 * @throws BackhaulError what reading the body threw, or `storage_not_allowed`; the signal's reason when aborted.
 */
export async function putPart(
  request: PutRequest,
  tools: PutTools,
  { signal }: { signal: AbortSignal },
): Promise<PutResult> {
  signal.throwIfAborted();
  try {
    // It may wait for memory: before there is a connection, whose silence would be taken for the store's.
    const first = await request.body.next();
    signal.throwIfAborted();
    return await exchangeWith(request, first, { ...tools, signal });
  } finally {
    await request.body.return();
  }
}

async function exchangeWith(
  request: PutRequest,
  first: IteratorResult<Buffer, void>,
  { signal, ...tools }: PutTools & { readonly signal: AbortSignal },
): Promise<PutResult> {
  const put = tools.storage.put(request.url, {
    headers: { ...request.headers, 'content-length': String(request.length) },
    fresh: request.fresh,
    idleMs: tools.stallMs,
    signal,
  });
  const exchange = new Exchange(put, deadlineMs(request.length, tools.rateLimit));
  try {
    const complete = await exchange.sendBody({ first, rest: request.body }, tools.rateLimit, signal);
    exchange.expectAnswerWithin(tools.patience.ms);
    return await readAnswer(await exchange.answer, { complete, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BackhaulError) throw error;
    if (exchange.gaveUpAfterMs !== null) tools.patience.wasNotEnough(exchange.gaveUpAfterMs);
    return { ok: false, verdict: judgeNoAnswer(error, { reused: put.reusedSocket }) };
  } finally {
    exchange.close();
  }
}

/** A request on its way: everything that can end it early ends it here. */
class Exchange {
  /** Rejects with the connection's error; resolves as soon as the store answers, even amid the body. */
  readonly answer: Promise<IncomingMessage>;
  readonly #put: ClientRequest;
  readonly #deadline: NodeJS.Timeout;
  #socket: Socket | null = null;
  #response: IncomingMessage | null = null;
  #holdingBack = false;
  #answerMs: number | null = null;
  #gaveUpAfterMs: number | null = null;

  constructor(put: ClientRequest, deadlineMs: number) {
    this.#put = put;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    this.answer = promise;
    promise.catch(() => {}); // Whoever waits sees it; a body that fails first must not leave it unhandled.
    put.once('response', (response) => {
      this.#response = response;
      resolve(response);
    });
    put.on('error', reject);
    put.once('close', () => reject(new Stalled('ECONNRESET')));
    // On the socket, because the request passes on only its first time-out.
    put.once('socket', (socket) => {
      this.#socket = socket;
      socket.on('timeout', this.#onIdle);
    });
    this.#deadline = setTimeout(() => put.destroy(new Stalled('ETIMEDOUT')), deadlineMs);
  }

  /** @returns Whether all of the body was sent; an answer amid it is a refusal, and the rest is not wanted. */
  async sendBody(
    body: { first: IteratorResult<Buffer, void>; rest: AsyncGenerator<Buffer, void, void> },
    limit: RateLimit | null,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (let next = body.first; next.done !== true; next = await body.rest.next()) {
      const slice = next.value;
      const step = limit === null ? slice.length : limit.sliceBytes;
      for (let at = 0; at < slice.length; at += step) {
        const piece = slice.subarray(at, at + step);
        if (limit !== null) await this.#holdBack(limit, piece.length, signal);
        await this.#write(piece);
        if (this.#response !== null) return false;
      }
    }
    this.#put.end();
    return true;
  }

  expectAnswerWithin(ms: number): void {
    this.#answerMs = ms;
    this.#socket?.setTimeout(ms);
  }

  /** How long the answer was waited for in vain; null if that is not why it ended. */
  get gaveUpAfterMs(): number | null {
    return this.#gaveUpAfterMs;
  }

  /** Gives the connection back for the next part, or ends it if the exchange is unfinished. */
  close(): void {
    clearTimeout(this.#deadline);
    this.#socket?.off('timeout', this.#onIdle);
    if (!this.#put.writableEnded || this.#response?.complete !== true) this.#put.destroy();
  }

  readonly #onIdle = (): void => {
    // While the rate limit holds the body back it is not the store that is slow; the next write winds the timer.
    if (this.#holdingBack) return;
    this.#gaveUpAfterMs = this.#answerMs;
    this.#put.destroy(new Stalled('ETIMEDOUT'));
  };

  async #holdBack(limit: RateLimit, bytes: number, signal: AbortSignal): Promise<void> {
    this.#holdingBack = true;
    try {
      await limit.take(bytes, { signal });
    } finally {
      this.#holdingBack = false;
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

class Stalled extends Error {
  readonly code: string;

  constructor(code: 'ETIMEDOUT' | 'ECONNRESET') {
    super('the connection to the store made no progress');
    this.code = code;
  }
}

async function readAnswer(
  response: IncomingMessage,
  { complete, signal }: { complete: boolean; signal: AbortSignal },
): Promise<PutResult> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response, { signal });
  if (status >= 200 && status < 300) {
    const etag = response.headers.etag ?? '';
    if (!complete)
      return { ok: false, verdict: { act: 'retry', detail: `HTTP ${status} before the part had ended` } };
    if (etag !== '' && etag.length <= 256) return { ok: true, etag };
    return { ok: false, verdict: { act: 'retry', detail: `HTTP ${status} without a usable ETag` } };
  }
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  const retryAfterMs = retryAfter > 0 ? Math.min(retryAfter, 60) * 1000 : null;
  return { ok: false, verdict: judgeAnswer({ status, retryAfterMs, ...readErrorDocument(body) }) };
}

/** @throws Stalled if the connection broke amid the answer: its status alone is not trusted. */
async function readBody(response: IncomingMessage, { signal }: { signal: AbortSignal }): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
    else response.destroy();
  });
  // `close` follows both the end and a connection that broke amid the body; an answer amid the request may have
  // come and broken off before anybody looked.
  if (!response.closed) await once(response, 'close', { signal });
  if (!response.complete && size <= MAX_ANSWER_BYTES) throw new Stalled('ECONNRESET');
  return Buffer.concat(chunks).toString('latin1');
}

function deadlineMs(length: number, limit: RateLimit | null): number {
  const limited = limit === null ? 0 : limit.worstCaseMs(length, MAX_SLICES);
  // setTimeout cannot wait longer.
  return Math.min(2 ** 31 - 1, DEADLINE_BASE_MS + (length / SLOWEST_BYTES_PER_SECOND) * 1000 + limited);
}
