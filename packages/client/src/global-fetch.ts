import type { NodeFetchInit } from './fetch.ts';

/** How requests are made where there is no Node.js (`#platform-fetch` of package.json). */
export const platformFetch = (url: URL, { agent: _ofNode, ...init }: NodeFetchInit): Promise<Response> =>
  globalThis.fetch(url, init);
