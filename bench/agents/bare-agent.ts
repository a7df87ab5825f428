import { once } from 'node:events';
import {
  type AgentMessageInput,
  CONNECT_PATH,
  HEARTBEAT_INTERVAL_MS,
  type HealthReport,
  SUBPROTOCOL,
  type ServerMessage,
} from '@backhaul/protocol';
import { WebSocket } from 'ws';

const health: HealthReport = {
  agent_version: 'bench',
  uptime_ms: 60_000,
  rss_bytes: 60_000_000,
  active_uploads: 0,
  max_uploads: 4,
  allowed: ['/bench'],
  max_rate_bytes_per_second: null,
};

/**
 * An agent without files: sends hello and pings like a real one, responds to `health_check`, and refuses every pull.
 * One machine cannot run ten thousand real agents.
 */
export class BareAgent {
  readonly #socket: WebSocket;
  readonly #onPull: (filePath: string) => void;

  private constructor(socket: WebSocket, onPull: (filePath: string) => void) {
    this.#socket = socket;
    this.#onPull = onPull;
  }

  /** Resolves on `welcome`. @param options.onPull Called when the command arrives. */
  static async connect(
    serverUrl: string,
    { token, onPull }: { token: string; onPull: (filePath: string) => void },
  ): Promise<BareAgent> {
    const socket = new WebSocket(`${serverUrl}${CONNECT_PATH}`, SUBPROTOCOL, {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    await once(socket, 'open');
    const agent = new BareAgent(socket, onPull);
    const welcome = once(socket, 'message');
    socket.on('message', (data) => agent.#take(JSON.parse((data as Buffer).toString()) as ServerMessage));
    agent.#say({
      status: 'hello',
      agent_version: 'bench',
      platform: { os: 'linux', arch: 'x64', hostname: 'bench' },
      capabilities: ['health_check', 'list_directory', 'resume'],
      limits: { max_uploads: 4, parallel_parts: 4 },
      default_file_path: '/bench/report.bin',
    });
    await welcome;
    const heartbeat = setInterval(() => socket.ping(), HEARTBEAT_INTERVAL_MS);
    // Killing a server also closes its sockets.
    socket.on('error', () => undefined).on('close', () => clearInterval(heartbeat));
    return agent;
  }

  get isConnected(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #take(message: ServerMessage): void {
    switch (message.action) {
      case 'health_check':
        this.#say({ status: 'result', command_id: message.command_id, ok: true, data: health });
        return;
      case 'prepare_upload': {
        this.#onPull(message.file_path);
        const { upload_id, attempt } = message;
        const refusal = { error: 'file_not_found', message: 'This agent has no files.' };
        this.#say({ status: 'failed', upload_id, attempt, ...refusal });
        return;
      }
      default:
    }
  }

  #say(message: AgentMessageInput): void {
    this.#socket.send(JSON.stringify(message));
  }
}
