import assert from 'node:assert/strict';
import { clientStatusSchema } from '@backhaul/protocol';
import { AgentSocket, type ServerMessageOf, type UpgradeRequest } from './agent-socket.ts';
import type { Operator } from './operator.ts';
import { PretendFile } from './pretend-file.ts';
import { Pull } from './pull.ts';

export const plainHello = {
  status: 'hello',
  agent_version: 'protocol-suite',
  platform: { os: 'linux', arch: 'x64' },
  capabilities: ['health_check', 'list_directory'],
  limits: { max_uploads: 4, parallel_parts: 4 },
} as const;

/** A `client_id` used by one test at a time. On disposal its sockets are closed and its uploads cancelled. */
export class SuiteClient implements AsyncDisposable {
  readonly clientId: string;
  readonly token: string;
  readonly operator: Operator;
  readonly #connectUrl: string;
  readonly #release: () => void;
  readonly #sockets: AgentSocket[] = [];

  /** @param parts.release Called when the next test may have this `client_id`. */
  constructor(parts: {
    clientId: string;
    token: string;
    operator: Operator;
    connectUrl: string;
    release?: () => void;
  }) {
    this.clientId = parts.clientId;
    this.token = parts.token;
    this.operator = parts.operator;
    this.#connectUrl = parts.connectUrl;
    this.#release = parts.release ?? (() => undefined);
  }

  /** Opens a socket without sending `hello`. */
  async connect(request: Partial<UpgradeRequest> = {}): Promise<AgentSocket> {
    const opened = await AgentSocket.open({
      url: this.#connectUrl,
      authorization: `Bearer ${this.token}`,
      ...request,
    });
    assert.ok(opened instanceof AgentSocket, `the upgrade was refused: ${JSON.stringify(opened)}`);
    this.#sockets.push(opened);
    return opened;
  }

  /** Opens a socket and waits for `welcome`. */
  async session(
    hello: Readonly<Record<string, unknown>> = {},
  ): Promise<{ socket: AgentSocket; welcome: ServerMessageOf<'welcome'> }> {
    const socket = await this.connect();
    socket.send({ ...plainHello, ...hello });
    return { socket, welcome: await socket.next('welcome') };
  }

  /** Starts a pull and waits for `prepare_upload`. */
  async pullPrepared(socket: AgentSocket, file = new PretendFile(1000)): Promise<Pull> {
    const { upload_id } = await this.operator.trigger(this.clientId, file.path);
    const request = await socket.next('prepare_upload');
    assert.equal(request.upload_id, upload_id);
    return new Pull(this.operator, file, request);
  }

  /** Starts a pull and waits for `download_file`. */
  async pullStarted(
    socket: AgentSocket,
    file?: PretendFile,
  ): Promise<{ pull: Pull; download: ServerMessageOf<'download_file'> }> {
    const pull = await this.pullPrepared(socket, file);
    return { pull, download: await pull.start(socket) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#tidyUp();
    } finally {
      this.#release();
    }
  }

  async #tidyUp(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.close()));
    const answer = await this.operator.request('GET', `/status/${this.clientId}`);
    if (answer.status === 404) return;
    const { active_uploads } = clientStatusSchema.parse(await answer.json());
    for (const { upload_id } of active_uploads) await this.operator.cancel(upload_id);
  }
}
