import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { BackhaulError } from '@backhaul/protocol';
import { MAX_SLICES } from '../file/buffer-pool.ts';
import type { AnswerPatience } from './answer-patience.ts';
import type { PartInFlight, PartParallelism } from './part-parallelism.ts';
import type { PartsInFlight } from './parts-in-flight.ts';
import { PutExchange, Stalled } from './put-exchange.ts';
import type { RateLimit } from './rate-limit.ts';
import { SilenceWatch, type SilenceWatchOptions } from './silence-watch.ts';
import type { StorageClient } from './storage-client.ts';
import {
  hostAndPort,
  isEtag,
  judgeAnswer,
  judgeNoAnswer,
  judgeUselessSuccess,
  readErrorDocument,
  type Verdict,
} from './storage-errors.ts';
import type { TransferTimings } from './timings.ts';

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
  /** Given back by its holder. */
  readonly place: PartInFlight;
  /** Not on a kept-alive connection. */
  readonly fresh: boolean;
  /** Earlier PUTs of the part; by default none. */
  readonly tries?: number;
}

export interface PutTools {
  readonly storage: StorageClient;
  readonly rateLimit: RateLimit | null;
  readonly timings: Pick<TransferTimings, 'connectMs' | 'stallMs'>;
  readonly patience: AnswerPatience;
  readonly line: PartParallelism;
  readonly sendQueues: SilenceWatchOptions['sendQueues'];
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly inFlight: PartsInFlight;
}

export type PutResult =
  | { readonly ok: true; readonly etag: string }
  | {
      readonly ok: false;
      readonly verdict: Verdict;
      /** Whether the line broke, as far as can be told. */
      readonly broke: boolean;
    };

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
  const { storage, rateLimit, timings, line, sendQueues, now } = tools;
  const trusted = storage.isTrusted(request.url);
  const host = hostAndPort(request.url);
  const proxy = storage.proxyOf(request.url);
  const put = storage.put(request.url, {
    headers: { ...request.headers, 'content-length': String(request.length) },
    fresh: request.fresh,
    idleMs: timings.stallMs,
  });
  const exchange = new PutExchange(put, {
    connectMs: timings.connectMs,
    deadlineMs: deadlineMs(request.length, rateLimit),
    signal,
  });
  using _inFlight = tools.inFlight.add(exchange);
  line.begin(request.place);
  using _ = new SilenceWatch({
    exchange,
    put: request.place,
    line,
    tries: request.tries ?? 0,
    sendQueues,
    now,
  });
  try {
    const complete = await exchange.sendBody({ first, rest: request.body }, rateLimit);
    const answer = complete ? await patientAnswer(exchange, tools.patience) : await exchange.answer;
    const result = await readAnswer(answer, { complete, trusted, host, signal });
    if (result.ok) {
      storage.trust(request.url);
      line.stored(request.place);
    }
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BackhaulError) throw error;
    if (error instanceof Stalled) storage.dropIdle();
    const broke = tellsOfLine(error) && line.broke(request.place);
    return {
      ok: false,
      verdict: judgeNoAnswer(error, { reused: put.reusedSocket, trusted, host, proxy }),
      broke,
    };
  } finally {
    exchange.close();
  }
}

/** Whether it was the line, or the way to the store, that ended a PUT. */
function tellsOfLine(error: unknown): boolean {
  if (error instanceof Stalled) return !error.alone;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT';
}

async function patientAnswer(exchange: PutExchange, patience: AnswerPatience): Promise<IncomingMessage> {
  const { ms } = patience;
  const startedAt = performance.now();
  const answer = await exchange.answerWithin(ms, () => {
    patience.wasNotEnough(ms);
    exchange.giveUp();
  });
  patience.wasEnough(performance.now() - startedAt);
  return answer;
}

async function readAnswer(
  response: IncomingMessage,
  {
    complete,
    trusted,
    host,
    signal,
  }: { complete: boolean; trusted: boolean; host: string; signal: AbortSignal },
): Promise<PutResult> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response, { signal });
  if (status >= 200 && status < 300) {
    const etag = response.headers.etag ?? '';
    if (complete && isEtag(etag)) return { ok: true, etag };
    const why = complete ? 'without a usable ETag' : 'before the part had ended';
    return { ok: false, verdict: judgeUselessSuccess(status, why, { trusted }), broke: false };
  }
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  const retryAfterMs = retryAfter > 0 ? Math.min(retryAfter, 60) * 1000 : null;
  const answer = { status, retryAfterMs, trusted, host, ...readErrorDocument(body) };
  return { ok: false, verdict: judgeAnswer(answer), broke: false };
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
