import http from 'node:http';
import https from 'node:https';
import { noProxies, proxyFor, type ProxyVariables } from '@backhaul/program';

/** Key sets and error documents of object stores are a few kilobytes. */
const MAX_RESPONSE_BYTES = 1024 * 1024;

export interface WholeRequest {
  readonly method: string;
  readonly headers: Headers | Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
  /** Default: none. */
  readonly proxies?: ProxyVariables | undefined;
}

/**
 * Sends one request outside the AWS SDK and reads the whole response. It does not use the built-in `fetch`: in
 * Node.js 24 that ends the process if the peer closes the connection before the body is consumed, for example when a
 * caller reads only the status (nodejs/undici#5360). Redirects are not followed.
 *
 * @throws Network errors unchanged; the signal's reason.
 */
export async function requestWhole(
  url: string,
  { method, headers, body, signal, proxies = noProxies }: WholeRequest,
): Promise<Response> {
  signal.throwIfAborted();
  const { request: start } = url.startsWith('https:') ? https : http;
  try {
    return await new Promise<Response>((resolve, reject) => {
      // A separate connection: the next request to the same host is minutes or hours away.
      const agent = connectionOf(new URL(url), proxies);
      const request = start(url, {
        method,
        headers: Object.fromEntries(new Headers(headers)),
        signal,
        agent,
      });
      let hasResponse = false;
      // A store may refuse before all of the body is sent, and sending then fails: the response counts.
      request.on('error', (error) => {
        if (!hasResponse || signal.aborted) reject(error);
      });
      request.once('response', (message) => {
        hasResponse = true;
        void readWhole(message).then(resolve, reject);
      });
      request.end(body);
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

function connectionOf(url: URL, proxies: ProxyVariables): http.Agent | false {
  const proxy = proxyFor(url, proxies);
  if (proxy === null) return false;
  const { Agent } = url.protocol === 'https:' ? https : http;
  return new Agent({ proxyEnv: proxy.proxyEnv });
}

async function readWhole(message: http.IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    // Leaving the loop closes the connection.
    if (sizeBytes > MAX_RESPONSE_BYTES)
      throw new Error(`the response is longer than ${MAX_RESPONSE_BYTES} bytes`);
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, values = []] of Object.entries(message.headersDistinct)) {
    for (const value of values) headers.append(name, value);
  }
  // Some statuses must not have a body, not even an empty one.
  return new Response(sizeBytes === 0 ? null : Buffer.concat(chunks), {
    status: message.statusCode ?? 0,
    headers,
  });
}
