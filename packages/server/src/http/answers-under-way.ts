import type { Server } from 'node:http';

/**
 * Knows which requests of a server still wait for the end of their answer. A server that closes must let these
 * finish, and nothing else: Node itself also waits for connections on which no request has ever come, as
 * browsers and health checks open them.
 */
export class AnswersUnderWay {
  readonly #server: Server;
  readonly #answers = new Set<object>();
  #onEnded: (() => void) | undefined;

  constructor(server: Server) {
    this.#server = server;
    server.on('request', (_request, answer) => {
      this.#answers.add(answer);
      answer.once('close', () => {
        this.#answers.delete(answer);
        if (this.#answers.size === 0) this.#onEnded?.();
      });
    });
  }

  /** Once the last answer is out, closes what remains, and whatever still comes before the server stops listening. */
  async finish(): Promise<void> {
    if (this.#answers.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnded = resolve;
      });
    }
    this.#server.on('connection', (socket) => socket.destroy());
    this.#server.closeAllConnections();
  }
}
