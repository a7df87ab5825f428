import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ServerMessageInput, SUBPROTOCOL } from '@backhaul/protocol';
import { type WebSocket, WebSocketServer } from 'ws';

const DEADLINE_MS = 30_000;

const welcome: ServerMessageInput = {
  action: 'welcome',
  server_version: 'quiet',
  session_id: '019ab3c2-5f00-7000-8000-000000000001',
  epoch: 1,
  heartbeat_interval_ms: 1000,
  dead_after_ms: 30_000,
  uploads: [],
};

/** An idle protocol server: welcomes an agent, receives its pings once a second, and waits. */
export class QuietServer implements AsyncDisposable {
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => {
      socket.once('message', () => socket.send(JSON.stringify(welcome)));
    });
  }

  static async start(): Promise<QuietServer> {
    const server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      handleProtocols: () => SUBPROTOCOL,
    });
    await once(server, 'listening');
    return new QuietServer(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves once the next agent has connected and sent this many pings since. */
  async pings(count: number): Promise<void> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const [socket] = (await once(this.#server, 'connection', { signal })) as [WebSocket];
    for (let heard = 0; heard < count; heard += 1) await once(socket, 'ping', { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
