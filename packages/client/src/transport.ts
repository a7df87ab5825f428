import { platformFetch } from '#platform-fetch';
import { describeIssues } from '@backhaul/protocol';
import { sendsInTheClear, toBaseUrl } from './base-url.ts';
import { ConnectionError, networkReason } from './connection-error.ts';
import { Deadline } from './deadline.ts';
import type { Fetch, FetchInit } from './fetch.ts';
import { readProblem } from './problem-response.ts';
import { UnexpectedAnswerError } from './unexpected-answer-error.ts';

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

/** The used subset of a zod schema. */
interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: unknown };
}

const DEFAULT_TIMEOUT_MS = 30_000;

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

  /** Sends the request, checks the status and parses the body. Fields that the schema does not know are dropped. */
  async json<T>(path: string, schema: Schema<T>, request: Request = {}): Promise<T> {
    return (await this.jsonAndWait(path, schema, request)).value;
  }

  /** The same, with the seconds that the server applied to `Prefer: wait`, or null if it did not wait. */
  async jsonAndWait<T>(
    path: string,
    schema: Schema<T>,
    request: Request = {},
  ): Promise<{ readonly value: T; readonly applied: number | null }> {
    return await this.send(path, request, async (response) => {
      const parsed = schema.safeParse(await readJson(response, path));
      const [, wait] = /\bwait=(\d+)/.exec(response.headers.get('preference-applied') ?? '') ?? [];
      const applied = wait === undefined ? null : Number(wait);
      if (parsed.success) return { value: parsed.data, applied };
      throw new UnexpectedAnswerError(
        `the response of ${path} does not have the expected shape (${describeShape(parsed.error)}); check that the versions of client and server are compatible`,
        response.status,
      );
    });
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

function describeShape(error: unknown): string {
  return describeIssues(error as Parameters<typeof describeIssues>[0]);
}
