import http from 'node:http';
import https from 'node:https';
import type { NodeFetchInit } from './fetch.ts';

/** For all addresses of a name together, so that a firewall that drops packets does not use up the caller's deadline. */
const CONNECT_TIMEOUT_MS = 10_000;

/** `Response` does not accept a body with these. */
const statusesWithoutBody: ReadonlySet<number | undefined> = new Set([204, 205, 304]);

/** Errors of a request on a kept-alive socket that the peer has already closed. */
const staleSocketCodes: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE']);

/**
 * Makes requests on Node.js (`#platform-fetch` of package.json). Uses `node:http`, because the fetch built into Node.js
 * 24 ends the process if the peer closes the connection while a slow reader has not read all bytes
 * (nodejs/undici#5360). Follows no redirects and requests no content coding.
 *
 * @throws TypeError whose `cause` is the network's error, like fetch; the signal's reason when aborted.
 */
export const platformFetch = async (url: URL, init: NodeFetchInit): Promise<Response> => {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError('fetch failed', { cause: new Error('unknown scheme') });
  }
  for (;;) {
    init.signal.throwIfAborted();
    const exchange = send(url, init);
    try {
      const message = await exchange.response;
      return new Response(bodyOf(message, init.signal), {
        status: message.statusCode ?? 0,
        headers: headersOf(message),
      });
    } catch (error) {
      exchange.request.destroy();
      init.signal.throwIfAborted();
      // Terminates: each such failure removes one kept-alive socket.
      const { method = 'GET' } = init;
      if (method === 'GET' && exchange.request.reusedSocket && isStaleSocket(error)) continue;
      throw new TypeError('fetch failed', { cause: error });
    }
  }
};

interface Exchange {
  readonly request: http.ClientRequest;
  readonly response: Promise<http.IncomingMessage>;
}

function send(url: URL, { method = 'GET', headers, body, signal, agent }: NodeFetchInit): Exchange {
  const { request: start } = url.protocol === 'https:' ? https : http;
  const request = start(url, {
    method,
    headers: { 'accept-encoding': 'identity', 'user-agent': 'backhaul-client', ...headers },
    ...(agent === undefined ? {} : { agent }),
  });
  let message: http.IncomingMessage | undefined;
  const abort = (): void => {
    const reason = errorOf(signal.reason);
    // The message first: destroying the request would detach it without an error.
    message?.destroy(reason);
    request.destroy(reason);
  };
  const forget = (): void => signal.removeEventListener('abort', abort);
  signal.addEventListener('abort', abort, { once: true });
  const response = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', (arrived) => {
      message = arrived;
      // With a listener the error is kept until the body is read; without one Node.js drops it.
      arrived.on('error', () => undefined);
      arrived.once('close', forget);
      resolve(arrived);
    });
    // Remains after the response: an error of the message is also emitted by the request.
    request.on('error', reject);
    request.once('close', () => {
      if (message === undefined) forget();
      reject(new Error('the connection was closed without a response'));
    });
  });
  limitConnecting(request, url.protocol === 'https:' ? 'secureConnect' : 'connect');
  request.end(body);
  return { request, response };
}

function limitConnecting(request: http.ClientRequest, connected: 'connect' | 'secureConnect'): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const error = Object.assign(new Error('timeout while connecting'), { code: 'ETIMEDOUT' });
    const timer = setTimeout(() => request.destroy(error), CONNECT_TIMEOUT_MS);
    const stop = (): void => clearTimeout(timer);
    socket.once(connected, stop);
    socket.once('close', stop);
  });
}

/** Streams the bytes on demand: nothing is read ahead except by the buffers of socket and message. */
function bodyOf(message: http.IncomingMessage, signal: AbortSignal): ReadableStream<Uint8Array> | null {
  if (statusesWithoutBody.has(message.statusCode)) {
    message.resume();
    return null;
  }
  let chunks: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        chunks ??= message[Symbol.asyncIterator]();
        try {
          const next = await chunks.next();
          if (next.done === true) controller.close();
          else controller.enqueue(next.value);
        } catch (error) {
          signal.throwIfAborted();
          throw new TypeError('terminated', { cause: error });
        }
      },
      cancel() {
        // If the response is complete, the connection can be reused.
        if (chunks === undefined && message.complete) message.resume();
        else message.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}

function headersOf({ rawHeaders }: http.IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
  }
  return headers;
}

function isStaleSocket(error: unknown): boolean {
  return error instanceof Error && 'code' in error && staleSocketCodes.has(error.code);
}

/** A signal may have any reason; streams must be destroyed with an Error. */
function errorOf(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
