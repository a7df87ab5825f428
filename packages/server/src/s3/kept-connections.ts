import http from 'node:http';
import https from 'node:https';
import type { ProxyInUse } from '@backhaul/program';

const MAX_SOCKETS = 50;

/** The connections to the store, kept for later calls. */
export class KeptConnections {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;

  /** @param proxy On the way to the store. */
  constructor(proxy: ProxyInUse | null) {
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(proxy && { proxyEnv: proxy.proxyEnv }) };
    this.httpAgent = new http.Agent(options);
    this.httpsAgent = new https.Agent(options);
  }

  /**
   * To be called when one has fallen silent: what silenced it (a router that forgot it, a failover) has likely
   * silenced those that lie idle too, and each would cost a call another time-out.
   */
  dropIdle(): void {
    for (const { freeSockets } of [this.httpAgent, this.httpsAgent]) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }
}
