import type { Server } from 'node:http';

/**
 * Tracks the requests of a server whose responses are not finished. A closing server must let these finish, and
 * nothing else: Node itself also waits for connections without any request, as browsers and health checks open them.
 */
export class InflightResponses {
  readonly #server: Server;
  readonly #responses = new Set<object>();
  #onEnded: (() => void) | undefined;

  constructor(server: Server) {
    this.#server = server;
    server.on('request', (_request, response) => {
      this.#responses.add(response);
      response.once('close', () => {
        this.#responses.delete(response);
        if (this.#responses.size === 0) this.#onEnded?.();
      });
    });
  }

  /**
   * Once the last response is finished, closes the remaining connections, and those that still arrive before the
   * server stops listening.
   */
  async finish(): Promise<void> {
    if (this.#responses.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnded = resolve;
      });
    }
    this.#server.on('connection', (socket) => socket.destroy());
    this.#server.closeAllConnections();
  }
}
