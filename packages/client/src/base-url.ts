import { isLoopbackHost } from '@backhaul/protocol';

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
