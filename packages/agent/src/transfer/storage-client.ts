import http from 'node:http';
import https from 'node:https';
import type { StoragePolicy } from '../policy/storage-policy.ts';

export interface ProxySettings {
  readonly HTTPS_PROXY?: string;
  readonly NO_PROXY?: string;
}

/** The connections to the store, kept alive between parts and shared by all transfers. */
export class StorageClient {
  readonly policy: StoragePolicy;
  readonly #http = new http.Agent({ keepAlive: true });
  readonly #https: https.Agent;

  /** @param proxy For https only: plain http goes to this machine or its own network. */
  constructor(policy: StoragePolicy, proxy: ProxySettings | null) {
    this.policy = policy;
    this.#https = new https.Agent({ keepAlive: true, ...(proxy === null ? {} : { proxyEnv: { ...proxy } }) });
    this.#proxy = proxy;
  }
  readonly #proxy: ProxySettings | null;

  /**
   * Starts a PUT; the caller sends the body, and destroys it if it is to end early.
   *
   * @param options.fresh Not on a kept-alive connection.
   * @param options.idleMs `timeout` is emitted when the socket takes and gives nothing for this long; a write
   * that proceeds in part counts as progress (Node looks at the size of libuv's write queue).
   */
  put(url: URL, options: PutOptions): http.ClientRequest {
    const secure = url.protocol === 'https:';
    const shared = secure ? this.#https : this.#http;
    const agent = options.fresh ? this.#single(secure) : shared;
    return (secure ? https : http).request(url, {
      method: 'PUT',
      headers: options.headers,
      agent,
      timeout: options.idleMs,
      lookup: this.policy.lookup,
    });
  }

  /**
   * To be called when a connection has fallen silent: what silenced it (a router that forgot it, a failover) has
   * likely silenced those that lie idle too, and each would cost a part another time-out.
   */
  dropIdle(): void {
    for (const { freeSockets } of [this.#http, this.#https]) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #single(secure: boolean): http.Agent | https.Agent {
    if (!secure) return new http.Agent();
    return new https.Agent(this.#proxy === null ? {} : { proxyEnv: { ...this.#proxy } });
  }
}

export interface PutOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly fresh: boolean;
  readonly idleMs: number;
}
