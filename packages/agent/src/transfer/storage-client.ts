import http from 'node:http';
import https from 'node:https';
import { proxyFor, type ProxyInUse, type ProxyVariables, trustSystem } from '@backhaul/program';
import type { StoragePolicy } from '../policy/storage-policy.ts';

/** Origins that the agent remembers to have stored a part; a server may name any number of them. */
const MAX_PROVEN_ORIGINS = 64;

/** The connections to the store, kept alive between parts and shared by all transfers. */
export class StorageClient {
  readonly policy: StoragePolicy;
  readonly #http = new http.Agent({ keepAlive: true });
  readonly #https = new https.Agent({ keepAlive: true });
  /** Made when the first request needs it. */
  #proxied: https.Agent | null = null;
  readonly #proxies: ProxyVariables;
  readonly #proven = new Set<string>();

  constructor(policy: StoragePolicy, proxies: ProxyVariables) {
    this.policy = policy;
    this.#proxies = proxies;
  }

  /**
   * Starts a PUT; the caller sends the body, and destroys it if it is to end early.
   *
   * @param options.fresh Not on a kept-alive connection.
   * @param options.idleMs `timeout` is emitted when the socket takes and gives nothing for this long; a write
   * that proceeds in part counts as progress (Node looks at the size of libuv's write queue).
   */
  put(url: URL, options: PutOptions): http.ClientRequest {
    const secure = url.protocol === 'https:';
    if (secure) trustSystem();
    const proxy = this.proxyOf(url);
    const agent = options.fresh ? single(secure, proxy) : this.#shared(secure, proxy);
    return (secure ? https : http).request(url, {
      method: 'PUT',
      headers: options.headers,
      agent,
      timeout: options.idleMs,
      lookup: this.policy.lookupFor(url),
    });
  }

  /** For https only: plain http goes to this machine or its own network. */
  proxyOf(url: URL): ProxyInUse | null {
    return url.protocol === 'https:' ? proxyFor(url, this.#proxies) : null;
  }

  /**
   * Whether the server may hear what exactly this address answered, or why it did not: its owner allows it, or it
   * has stored a part. Of any other address a precise answer would map the network that the agent sits in.
   */
  isTrusted(url: URL): boolean {
    return this.#proven.has(url.origin) || this.policy.isTrusted(url);
  }

  /** It stored a part: it is an object store. */
  trust(url: URL): void {
    if (this.#proven.size < MAX_PROVEN_ORIGINS) this.#proven.add(url.origin);
  }

  /**
   * To be called when a connection has fallen silent: what silenced it (a router that forgot it, a failover) has
   * likely silenced those that lie idle too, and each would cost a part another time-out.
   */
  dropIdle(): void {
    for (const { freeSockets } of this.#agents()) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }

  close(): void {
    for (const agent of this.#agents()) agent.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #shared(secure: boolean, proxy: ProxyInUse | null): http.Agent {
    if (!secure) return this.#http;
    if (proxy === null) return this.#https;
    this.#proxied ??= new https.Agent({ keepAlive: true, proxyEnv: proxy.proxyEnv });
    return this.#proxied;
  }

  #agents(): readonly http.Agent[] {
    return [this.#http, this.#https, ...(this.#proxied === null ? [] : [this.#proxied])];
  }
}

function single(secure: boolean, proxy: ProxyInUse | null): http.Agent {
  if (!secure) return new http.Agent();
  return new https.Agent(proxy === null ? {} : { proxyEnv: proxy.proxyEnv });
}

export interface PutOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly fresh: boolean;
  readonly idleMs: number;
}
