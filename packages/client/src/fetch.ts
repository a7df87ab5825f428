import type { Agent } from 'node:http';

/** The used subset of the global `fetch`, which is itself assignable. */
export type Fetch = (url: URL, init: FetchInit) => Promise<Response>;

/** Options of `fetch`, and options of Node.js requests. */
export interface NodeFetchInit extends FetchInit {
  /** Agent of `node:http` or `node:https`, matching the URL: for a proxy, or for a separate pool of connections. */
  readonly agent?: Agent | undefined;
}

export interface FetchInit {
  /** Default: GET. */
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly signal: AbortSignal;
  /** Redirects are not followed, so that the token is not sent elsewhere. */
  readonly redirect: 'manual';
}

/** Makes requests on platforms other than Node.js (`#platform-fetch` of package.json). */
export const platformFetch = (url: URL, { agent: _ofNode, ...init }: NodeFetchInit): Promise<Response> =>
  globalThis.fetch(url, init);
