import http from 'node:http';
import https from 'node:https';
import type { ProxyInUse } from '@backhaul/program';

const MAX_SOCKETS = 50;

/** The HTTP agents, which keep connections to the store alive for later calls. */
export class HttpAgents {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;

  /** @param proxy Proxy used to reach the store. */
  constructor(proxy: ProxyInUse | null) {
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(proxy && { proxyEnv: proxy.proxyEnv }) };
    this.httpAgent = new http.Agent(options);
    this.httpsAgent = new https.Agent(options);
  }

  /**
   * Call when a connection has fallen silent: the cause (a router that lost its state, a failover) has likely
   * affected the idle ones too, and each would cost a call another timeout.
   */
  dropIdle(): void {
    for (const { freeSockets } of [this.httpAgent, this.httpsAgent]) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }
}
