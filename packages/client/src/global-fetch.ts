import type { NodeFetchInit } from './fetch.ts';

/** Makes requests on platforms other than Node.js (`#platform-fetch` of package.json). */
export const platformFetch = (url: URL, { agent: _ofNode, ...init }: NodeFetchInit): Promise<Response> =>
  globalThis.fetch(url, init);
