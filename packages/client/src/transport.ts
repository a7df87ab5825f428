import {
  describeIssues,
  isLoopbackHost,
  type Opened,
  parseResponse,
  type ResponseSchema,
} from '@backhaul/protocol';
import { platformFetch } from '#platform-fetch';
import { Deadline } from './deadline.ts';
import { ConnectionError, networkReason, readProblem, UnexpectedAnswerError } from './errors.ts';
import type { Fetch, FetchInit } from './fetch.ts';

/**
 * Returns the base URL of the REST API. Agents use the same address as `ws://…`, so that form is accepted too. A path is
 * kept: the server may be below one behind a reverse proxy.
 *
 * @throws TypeError that describes the problem; it never contains a password.
 */
export function toBaseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new TypeError(`the server URL is not a URL, such as https://host:8080`);
  const protocol = httpProtocol(url.protocol);
  if (protocol === undefined) {
    throw new TypeError(`the server URL must start with http, https, ws or wss, not "${url.protocol}//"`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new TypeError('the server URL must not contain a user name or password; use a token instead');
  }
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  // Assigning `protocol` would keep the default port of the old scheme; a new URL does not.
  return new URL(`${protocol}//${url.host}${path}`);
}

/**
 * Whether a token would be sent unencrypted: plain HTTP to another machine. Not checked in a browser: a page loaded over
 * plain HTTP has no other way to reach its server.
 */
export function sendsInTheClear(base: URL): boolean {
  return base.protocol === 'http:' && !isLoopbackHost(base.hostname) && !('document' in globalThis);
}

function httpProtocol(protocol: string): 'http:' | 'https:' | undefined {
  switch (protocol) {
    case 'http:':
    case 'ws:':
      return 'http:';
    case 'https:':
    case 'wss:':
      return 'https:';
    default:
      return undefined;
  }
}

export interface TransportOptions {
  /** Address of the server: `http(s)://` or, as for agents, `ws(s)://`. A path is kept. */
  readonly url: string;
  /** Operator token, as printed by `backhaul token operator`. Never part of an error. */
  readonly token: string;
  /** Allows plain HTTP to another machine: anyone on the network path can read the token. Default: false. */
  readonly insecure?: boolean | undefined;
  /** Default: an implementation on `node:http` on Node.js, the global `fetch` elsewhere. */
  readonly fetch?: Fetch | undefined;
  /** Deadline of a request including its response, in milliseconds. Default: 30,000, longer if the server waits. */
  readonly timeoutMs?: number | undefined;
}

export interface Request {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** A list repeats the parameter. */
  readonly query?:
    | Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
    | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: unknown;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Expected statuses; others are errors. Default: 200. */
  readonly expect?: readonly number[];
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Added to the time for which the server is asked to wait. */
const RESPONSE_MARGIN_MS = 30_000;

/** A kept-alive socket may be closed by the server just as it is reused (undici #3492). */
const staleSocketCodes: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** Sends requests: adds address, token and deadline, and converts every failure to one of three errors. */
export class Transport {
  readonly #base: URL;
  readonly #token: string;
  readonly fetch: Fetch;
  readonly #timeoutMs: number;

  /** @throws TypeError if the URL or the token is invalid; it never contains the token. */
  constructor({
    url,
    token,
    insecure = false,
    fetch = platformFetch,
    timeoutMs = DEFAULT_TIMEOUT_MS,
  }: TransportOptions) {
    this.#base = toBaseUrl(url);
    if (!insecure && sendsInTheClear(this.#base)) {
      throw new TypeError(
        `the server URL ${this.#base.origin} would send the token unencrypted to another machine: use https, or accept the risk with insecure: true`,
      );
    }
    // Checked here because fetch includes an invalid header in its error.
    if (!/^[\u0021-\u007e]+$/.test(token)) {
      throw new TypeError('the token is empty or contains spaces, line breaks or non-ASCII characters');
    }
    this.#token = token;
    this.fetch = fetch;
    this.#timeoutMs = timeoutMs;
  }

  get origin(): string {
    return this.#base.origin;
  }

  /** Sends the request, checks the status and parses the body, which may be that of a later version. */
  async json<T>(path: string, schema: ResponseSchema<T>, request: Request = {}): Promise<Opened<T>> {
    return await this.send(path, request, (response) => parseBody(response, path, schema));
  }

  /**
   * The same, but asks the server to respond only when the value is done, or after `waitSeconds`. If the server waits for a
   * shorter time, because a reverse proxy would time out, the request is repeated.
   */
  async jsonWhenDone<T>(
    path: string,
    schema: ResponseSchema<T>,
    request: Request,
    { waitSeconds, isDone }: { readonly waitSeconds: number; readonly isDone: (value: Opened<T>) => boolean },
  ): Promise<Opened<T>> {
    for (let left = waitSeconds; ;) {
      const waiting = {
        ...request,
        headers: { ...request.headers, prefer: `wait=${left}` },
        timeoutMs: left * 1000 + RESPONSE_MARGIN_MS,
      };
      const { value, applied } = await this.send(path, waiting, async (response) => ({
        value: await parseBody(response, path, schema),
        applied: appliedWait(response),
      }));
      if (isDone(value) || applied === null || applied < 1 || applied >= left) return value;
      left -= applied;
    }
  }

  /** Sends the request, checks the status and passes the response to `read` within the deadline. */
  async send<T>(path: string, request: Request, read: (response: Response) => Promise<T>): Promise<T> {
    using deadline = new Deadline(request.timeoutMs ?? this.#timeoutMs, request.signal);
    try {
      return await read(await this.open(path, request, deadline.signal));
    } catch (error) {
      throw this.failure(error, deadline, request.signal);
    }
  }

  /** Sends the request and checks the status; the caller reads the body and enforces the deadline. */
  async open(path: string, request: Request, signal: AbortSignal): Promise<Response> {
    const { method = 'GET', expect = [200] } = request;
    const response = await this.#fetchOnce(path, request, signal).catch((error: unknown) => {
      if (method === 'GET' && !signal.aborted && staleSocketCodes.has(networkReason(error))) {
        return this.#fetchOnce(path, request, signal);
      }
      throw error;
    });
    if (expect.includes(response.status)) return response;
    throw await readProblem(response, { request: `${method} ${path}`, origin: this.origin });
  }

  /** Converts an error of fetch or of reading to the documented ones; the reason of the caller's signal is kept. */
  failure(error: unknown, deadline: Deadline, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (deadline.expired) {
      const seconds = Math.round(deadline.timeoutMs / 100) / 10;
      return new ConnectionError(this.origin, `did not respond within ${seconds} s`, { cause: error });
    }
    const reason = networkReason(error);
    if (reason !== undefined) {
      return new ConnectionError(this.origin, `cannot be reached (${reason})`, { cause: error });
    }
    return error;
  }

  async #fetchOnce(path: string, request: Request, signal: AbortSignal): Promise<Response> {
    const url = new URL(path.slice(1), this.#base);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== undefined) url.searchParams.append(name, String(each));
      }
    }
    const headers: Record<string, string> = {
      accept: 'application/json, application/problem+json',
      authorization: `Bearer ${this.#token}`,
      ...request.headers,
    };
    const init: FetchInit = { method: request.method ?? 'GET', headers, signal, redirect: 'manual' };
    if (request.body === undefined) return await this.fetch(url, init);
    headers['content-type'] = 'application/json';
    return await this.fetch(url, { ...init, body: JSON.stringify(request.body) });
  }
}

async function readJson(response: Response, path: string): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new UnexpectedAnswerError(
      `the response of ${path} is not JSON; check that this is the address of a Backhaul server`,
      response.status,
    );
  }
}

/** @throws UnexpectedAnswerError if the body is not JSON of the expected shape. */
export async function parseBody<T>(
  response: Response,
  path: string,
  schema: ResponseSchema<T>,
): Promise<Opened<T>> {
  const parsed = parseResponse(schema, await readJson(response, path));
  if (parsed.success) return parsed.data;
  throw new UnexpectedAnswerError(
    `the response of ${path} does not have the expected shape (${describeIssues(parsed.error)}); check that the versions of client and server are compatible`,
    response.status,
  );
}

/** Seconds that the server applied to `Prefer: wait`; null if it did not wait. */
function appliedWait({ headers }: Response): number | null {
  const [, wait] = /\bwait=(\d+)/.exec(headers.get('preference-applied') ?? '') ?? [];
  return wait === undefined ? null : Number(wait);
}

/** Builds a path with each value escaped. */
export function path(texts: TemplateStringsArray, ...values: string[]): string {
  return String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(value)));
}
