import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SUBPROTOCOL } from '@backhaul/protocol';
import { type WebSocket, WebSocketServer } from 'ws';

const DEADLINE_MS = 30_000;

type Message = Readonly<Record<string, unknown>>;

/** A server that asks an agent for a file and sends it to addresses of an attacker's choice. */
export class HostileServer implements AsyncDisposable {
  /** All messages from agents. */
  readonly heard: Message[] = [];
  readonly #server: WebSocketServer;
  readonly #agent = Promise.withResolvers<WebSocket>();
  #ids = 0;
  readonly #waiting = new Map<string, (message: Message) => void>();

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) =>
        this.#hear(socket, JSON.parse(data.toString('utf8')) as Message),
      );
    });
  }

  static async start(): Promise<HostileServer> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => SUBPROTOCOL });
    await once(server, 'listening');
    return new HostileServer(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Makes the agent prepare and send a file there. @returns Its last message: `failed`, `completed` or `stalled`. */
  async sendTo(
    filePath: string,
    url: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Message> {
    const socket = await this.#agent.promise;
    const about = { upload_id: this.#nextId(), attempt: 1 };
    const say = (message: Message): void => socket.send(JSON.stringify(message));
    const prepared = this.#answer(about.upload_id, 'prepared', 'failed');
    say({
      ...{
        action: 'prepare_upload',
        ...about,
        file_path: filePath,
        checksum_mode: 'none',
        expires_in_ms: 60_000,
      },
      plan: { min_chunk_size: 5_242_880, max_parts: 10_000, window_size: 64 },
    });
    const { status, chunk_size, part_count } = await prepared;
    if (status !== 'prepared')
      throw new Error(`the agent did not even prepare: ${JSON.stringify(this.heard.at(-1))}`);
    const ended = this.#answer(about.upload_id, 'failed', 'completed', 'stalled');
    say({
      action: 'download_file',
      file_path: filePath,
      upload_config: {
        ...{ ...about, bucket: 'bucket', key: 'key', chunk_size, part_count },
        presigned_urls: [{ part_number: 1, url, headers }],
        ...{ expires_at: '2030-01-01T00:00:00.000Z', expires_in_ms: 900_000 },
      },
    });
    const end = await ended;
    if (end['status'] === 'stalled') say({ action: 'cancel_upload', ...about, reason: 'cancelled' });
    return end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #nextId(): string {
    this.#ids += 1;
    return `019ab3c2-5f00-7000-8000-${String(this.#ids).padStart(12, '0')}`;
  }

  #hear(socket: WebSocket, message: Message): void {
    this.heard.push(message);
    if (message['status'] === 'hello') {
      const heartbeat = { heartbeat_interval_ms: 1000, dead_after_ms: 30_000 };
      const session = { server_version: 'hostile', session_id: this.#nextId(), epoch: 1 };
      socket.send(JSON.stringify({ action: 'welcome', ...session, ...heartbeat, uploads: [] }));
      this.#agent.resolve(socket);
    }
    this.#waiting.get(`${String(message['upload_id'])} ${String(message['status'])}`)?.(message);
  }

  async #answer(uploadId: string, ...statuses: string[]): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const timer = setTimeout(() => reject(new Error(`no ${statuses.join(' or ')}`)), DEADLINE_MS);
    for (const status of statuses) this.#waiting.set(`${uploadId} ${status}`, resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      for (const status of statuses) this.#waiting.delete(`${uploadId} ${status}`);
    }
  }
}
