import { isLoopbackHost } from '@backhaul/protocol';

/**
 * The server's address as its REST API is reached. Agents are given the same address as `ws://…`, so that form
 * is taken too. A path is kept: the server may live below one, behind a reverse proxy.
 *
 * @throws TypeError naming what is wrong; never repeats a password.
 */
export function toBaseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new TypeError(`the server URL is not a URL, such as https://host:8080`);
  const protocol = httpProtocol(url.protocol);
  if (protocol === undefined) {
    throw new TypeError(`the server URL must start with http, https, ws or wss, not "${url.protocol}//"`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new TypeError('the server URL must not hold a user name or password; give a token instead');
  }
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  // Assigning `protocol` would keep a default port of the old scheme; building anew does not.
  return new URL(`${protocol}//${url.host}${path}`);
}

/**
 * Whether a token sent there could be read on the way: plain HTTP to another machine. Not judged in a browser: a page that
 * came by plain HTTP has no other way to its server.
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
