import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { BackhaulError } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';
import { MAX_SLICES } from '../file/slices.ts';
import { MAX_TIMEOUT_MS } from '../waits.ts';
import type { PutSlot } from './part-parallelism.ts';
import type { PartsInFlight } from './progress.ts';
import { PutExchange, Stalled } from './put-exchange.ts';
import { type ResponseTimeout, SilenceWatch } from './put-timeouts.ts';
import type { RateLimit } from './rate-limit.ts';
import {
  classifyError,
  classifyResponse,
  classifyUnusableSuccess,
  hostAndPort,
  isEtag,
  type PutFailure,
  readErrorDocument,
} from './storage-errors.ts';
import type { TransferDeps, TransferTimings } from './transfer-deps.ts';

/** Maximum size of a response body. S3's error documents are a few hundred bytes. */
const MAX_RESPONSE_BYTES = 16 * 1024;
/** Minimum average rate in bytes per second. A slower PUT is aborted. */
const MIN_BYTES_PER_SECOND = 4096;
const DEADLINE_BASE_MS = 600_000;

export interface PutRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly length: number;
  /** Always closed at the end. */
  readonly body: AsyncGenerator<Buffer, void, void>;
  /** Released by the caller. */
  readonly slot: PutSlot;
  /** Whether to use a new connection. */
  readonly fresh: boolean;
  /** Number of earlier PUTs of the part. Default: 0. */
  readonly tries?: number;
}

export interface PutDeps extends Pick<
  TransferDeps,
  'storage' | 'rateLimit' | 'responseTimeout' | 'parallelism' | 'sendQueues' | 'now'
> {
  readonly timings: Pick<TransferTimings, 'connectMs' | 'stallMs'>;
  readonly inFlight: PartsInFlight;
}

export type PutResult =
  | { readonly ok: true; readonly etag: string }
  | {
      readonly ok: false;
      readonly failure: PutFailure;
      /** Whether the network connection was lost. */
      readonly broke: boolean;
    };

/**
 * Sends one PUT for a part.
 *
 * @throws BackhaulError if reading the body fails, or `storage_not_allowed`; the signal's reason when aborted.
 */
export async function putPart(
  request: PutRequest,
  deps: PutDeps,
  { signal }: { signal: AbortSignal },
): Promise<PutResult> {
  signal.throwIfAborted();
  try {
    // Waits for memory before the connection is opened, because an idle connection would look like a stalled store.
    const first = await request.body.next();
    signal.throwIfAborted();
    return await exchangeWith(request, first, { ...deps, signal });
  } finally {
    await request.body.return();
  }
}

async function exchangeWith(
  request: PutRequest,
  first: IteratorResult<Buffer, void>,
  { signal, ...deps }: PutDeps & { readonly signal: AbortSignal },
): Promise<PutResult> {
  const { storage, rateLimit, timings, parallelism, sendQueues, now } = deps;
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
  using _inFlight = deps.inFlight.add(exchange);
  parallelism.begin(request.slot);
  using _ = new SilenceWatch({
    exchange,
    put: request.slot,
    parallelism,
    tries: request.tries ?? 0,
    sendQueues,
    now,
  });
  try {
    const complete = await exchange.sendBody({ first, rest: request.body }, rateLimit);
    const response = complete ? await awaitResponse(exchange, deps.responseTimeout) : await exchange.response;
    const result = await readResponse(response, { complete, trusted, host, signal });
    if (result.ok) {
      storage.trust(request.url);
      parallelism.stored(request.slot);
    }
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BackhaulError) throw error;
    if (error instanceof Stalled) storage.dropIdle();
    const broke = isNetworkError(error) && parallelism.broke(request.slot);
    return {
      ok: false,
      failure: classifyError(error, { reused: put.reusedSocket, trusted, host, proxy }),
      broke,
    };
  } finally {
    exchange.close();
  }
}

/** Whether a PUT failed because of the network. */
function isNetworkError(error: unknown): boolean {
  if (error instanceof Stalled) return !error.alone;
  const code = codeOf(error);
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ETIMEDOUT';
}

async function awaitResponse(
  exchange: PutExchange,
  responseTimeout: ResponseTimeout,
): Promise<IncomingMessage> {
  const { ms } = responseTimeout;
  const startedAt = performance.now();
  const response = await exchange.responseWithin(ms, () => {
    responseTimeout.increase(ms);
    exchange.timeOut();
  });
  responseTimeout.observe(performance.now() - startedAt);
  return response;
}

async function readResponse(
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
    const problem = complete ? 'without a usable ETag' : 'before the part had ended';
    return { ok: false, failure: classifyUnusableSuccess(status, problem, { trusted }), broke: false };
  }
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
  const retryAfterMs = retryAfter > 0 ? Math.min(retryAfter, 60) * 1000 : null;
  const parsed = { status, retryAfterMs, trusted, host, ...readErrorDocument(body) };
  return { ok: false, failure: classifyResponse(parsed), broke: false };
}

/** @throws Stalled if the connection broke during the response: its status alone is not trusted. */
async function readBody(response: IncomingMessage, { signal }: { signal: AbortSignal }): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_RESPONSE_BYTES) chunks.push(chunk);
    else response.destroy();
  });
  // `close` is emitted after the end and after a connection loss. An early response may already be closed.
  if (!response.closed) await once(response, 'close', { signal });
  if (!response.complete && size <= MAX_RESPONSE_BYTES) throw new Stalled('ECONNRESET');
  return Buffer.concat(chunks).toString('latin1');
}

function deadlineMs(length: number, limit: RateLimit | null): number {
  const limited = limit === null ? 0 : limit.worstCaseMs(length, MAX_SLICES);
  return Math.min(MAX_TIMEOUT_MS, DEADLINE_BASE_MS + (length / MIN_BYTES_PER_SECOND) * 1000 + limited);
}
