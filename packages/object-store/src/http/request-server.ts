import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Exchange, type ExchangeSettings } from './exchange.ts';

/** Time to send a request's headers. Bodies have only the stall timeout: a slow connection may take hours. */
const HEADERS_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 60_000;

export interface RequestServerSettings extends ExchangeSettings {
  /** How long closing waits for running requests, in ms. */
  readonly closeTimeoutMs: number;
}

/** The listening socket and its exchanges. */
export class RequestServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #settings: RequestServerSettings;
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(settings: RequestServerSettings) {
    this.#settings = settings;
    this.#server = createServer({
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      requestTimeout: 0,
    });
    this.#server.on('request', (incoming, response) => this.#exchange(incoming, response, false));
    this.#server.on('checkContinue', (incoming, response) => this.#exchange(incoming, response, true));
  }

  #exchange(incoming: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const exchange = new Exchange(incoming, response, { ...this.#settings, awaitsContinue });
    const running = exchange.run(this.#stop.signal).finally(() => {
      this.#running.delete(running);
      // A kept-alive connection would delay the stop until its own timeout.
      if (!this.#server.listening) this.#server.closeIdleConnections();
    });
    this.#running.add(running);
  }

  async listen(port: number, host: string): Promise<AddressInfo> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return this.#server.address() as AddressInfo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => {
      this.#stop.abort();
      this.#server.closeAllConnections();
    }, this.#settings.closeTimeoutMs);
    await closed;
    clearTimeout(timer);
    await Promise.all(this.#running);
  }
}
