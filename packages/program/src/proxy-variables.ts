import { BlockList, isIP } from 'node:net';

type ProxyName = 'HTTPS_PROXY' | 'HTTP_PROXY';

/**
 * HTTPS_PROXY, HTTP_PROXY and NO_PROXY, for all programs; lower case takes precedence, as in curl. Proxies include their
 * scheme; an invalid address is kept unchanged, and {@link proxyFor} refuses it when it would be used.
 */
export interface ProxyVariables {
  readonly HTTPS_PROXY: string | null;
  readonly HTTP_PROXY: string | null;
  readonly NO_PROXY: string;
}

export const noProxies: ProxyVariables = { HTTPS_PROXY: null, HTTP_PROXY: null, NO_PROXY: '' };

/** The proxy for one address. */
export interface ProxyInUse {
  readonly variable: ProxyName;
  /** Address without user name and password, for display. */
  readonly address: string;
  /** Option for an `Agent` of `node:http` or `node:https`; without NO_PROXY, so that the agent always uses the proxy. */
  readonly proxyEnv: { readonly HTTPS_PROXY?: string; readonly HTTP_PROXY?: string };
}

/** A required variable is not the address of a proxy; the message names the variable. */
export class ProxyVariableError extends Error {
  override readonly name = 'ProxyVariableError';
  readonly variable: ProxyName;

  constructor(variable: ProxyName) {
    super(`${variable} must be the address of an HTTP proxy, such as http://proxy.example.com:3128.`);
    this.variable = variable;
  }
}

export function readProxyVariables(env: Readonly<Record<string, string | undefined>>): ProxyVariables {
  const read = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  return {
    HTTPS_PROXY: withScheme(read('HTTPS_PROXY')),
    HTTP_PROXY: withScheme(read('HTTP_PROXY')),
    NO_PROXY: read('NO_PROXY') ?? '',
  };
}

/** `proxy:3128` means http, as in curl. */
function withScheme(value: string | undefined): string | null {
  if (value === undefined) return null;
  const address = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  return isAddress(address) ? address : value;
}

function isAddress(proxy: string): boolean {
  return /^https?:\/\//i.test(proxy) && URL.canParse(proxy);
}

/** Returns the variables that are set but are not the address of a proxy. */
export function unreadableProxies(variables: ProxyVariables): readonly ProxyName[] {
  const names: readonly ProxyName[] = ['HTTPS_PROXY', 'HTTP_PROXY'];
  return names.filter((name) => variables[name] !== null && !isAddress(variables[name]));
}

/**
 * Returns the proxy for requests to `url`: HTTPS_PROXY for https and wss, HTTP_PROXY for http and ws. None for this
 * machine (localhost, 127.0.0.0/8, ::1), which a proxy could not reach.
 *
 * @throws ProxyVariableError for an invalid address: Node.js would ignore it and silently connect directly.
 */
export function proxyFor(url: URL, variables: ProxyVariables): ProxyInUse | null {
  const variable = url.protocol === 'https:' || url.protocol === 'wss:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = variables[variable];
  if (proxy === null || isExempt(url, variables.NO_PROXY)) return null;
  if (!isAddress(proxy)) throw new ProxyVariableError(variable);
  const { protocol, host } = new URL(proxy);
  return { variable, address: `${protocol}//${host}`, proxyEnv: { [variable]: proxy } };
}

/**
 * NO_PROXY is a list of host names (including their subdomains), IP addresses and ranges (`10.0.0.0/8`), separated by
 * commas or spaces, each optionally with a port; `*` matches all. Names are not resolved, so a range matches only IP
 * addresses in URLs.
 */
function isExempt(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost') || inRange(host, '127.0.0.0/8') || host === '::1')
    return true;
  const port = url.port || (url.protocol === 'https:' || url.protocol === 'wss:' ? '443' : '80');
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => entry === '*' || matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry.includes('/')) return inRange(host, entry);
  if (isIP(entry) !== 0) return isIP(host) !== 0 && inRange(host, `${entry}/${isIP(entry) === 6 ? 128 : 32}`);
  const [, name = entry, onlyPort] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(entry) ?? [];
  if (onlyPort !== undefined && onlyPort !== port) return false;
  if (isIP(name) !== 0) return inRange(host, `${name}/${isIP(name) === 6 ? 128 : 32}`);
  const bare = name.replace(/^\*?\./, '').replace(/\.$/, '');
  return bare !== '' && (host === bare || host.endsWith(`.${bare}`));
}

/** Whether an address is in a range in CIDR notation; false for a host name or an invalid range. */
function inRange(address: string, range: string): boolean {
  const list = rangeList([range]);
  return list !== null && isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** @returns null if one of them is neither an address nor a range in CIDR notation. */
export function rangeList(ranges: readonly string[]): BlockList | null {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', prefix, ...more] = range.split('/');
    const family = isIP(network);
    const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix);
    const isRange = family !== 0 && more.length === 0 && /^\d*$/.test(prefix ?? '0') && prefix !== '';
    if (!isRange || bits > (family === 6 ? 128 : 32)) return null;
    list.addSubnet(network, bits, family === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}
