import type { Agent } from 'node:http';

/** As much of the global `fetch` as is used: it can be given as it is. */
export type Fetch = (url: URL, init: FetchInit) => Promise<Response>;

/** What `fetch` takes, and what only requests on Node.js know. */
export interface NodeFetchInit extends FetchInit {
  /** Of `node:http` or `node:https`, as the address is: for a proxy, or connections of one's own. */
  readonly agent?: Agent | undefined;
}

export interface FetchInit {
  /** Default: GET. */
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly signal: AbortSignal;
  /** A token must not go where a redirect leads. */
  readonly redirect: 'manual';
}
