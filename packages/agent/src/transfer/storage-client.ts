import http from 'node:http';
import https from 'node:https';
import { proxyFor, type ProxyInUse, type ProxyVariables, trustSystem } from '@backhaul/program';
import type { StoragePolicy } from '../policy/storage-policy.ts';

/** Maximum number of remembered origins that have stored a part; a server may name any number of origins. */
const MAX_PROVEN_ORIGINS = 64;

/** HTTP client for the store, with kept-alive connections shared by all transfers. */
export class StorageClient {
  readonly policy: StoragePolicy;
  readonly #http = new http.Agent({ keepAlive: true });
  readonly #https = new https.Agent({ keepAlive: true });
  /** Created when first needed. */
  #proxied: https.Agent | null = null;
  readonly #proxies: ProxyVariables;
  readonly #proven = new Set<string>();

  constructor(policy: StoragePolicy, proxies: ProxyVariables) {
    this.policy = policy;
    this.#proxies = proxies;
  }

  /**
   * Starts a PUT. The caller sends the body, and destroys the request to end it early.
   *
   * @param options.fresh Whether to use a new connection.
   * @param options.idleMs `timeout` is emitted after this time without data in either direction; a partial write counts
   * as progress (Node checks the size of libuv's write queue).
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

  /** For https only: plain http is used for this machine or its own network. */
  proxyOf(url: URL): ProxyInUse | null {
    return url.protocol === 'https:' ? proxyFor(url, this.#proxies) : null;
  }

  /**
   * Whether the server may receive the exact response or error of this address: the owner allows it, or it has stored a
   * part. For any other address this would let the server map the agent's network.
   */
  isTrusted(url: URL): boolean {
    return this.#proven.has(url.origin) || this.policy.isTrusted(url);
  }

  /** Marks the origin as an object store, because it has stored a part. */
  trust(url: URL): void {
    if (this.#proven.size < MAX_PROVEN_ORIGINS) this.#proven.add(url.origin);
  }

  /**
   * Closes idle connections. Call it when a connection has become silent: the cause (a router that lost its state, a
   * failover) has probably affected idle ones too, and each would cost a part another timeout.
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
