import {
  type AgentMessage,
  type ServerMessage,
  type ServerMessageInput,
  decodeAgentMessage,
  decodeServerMessage,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { endSession, hello } from '../../packages/server/src/domain/agents/handlers/hello.ts';
import { sampleToken } from '../doubles/fake-agent.ts';
import type { AgentSession } from '../../packages/server/src/domain/agents/session.ts';
import type { SimulatedServer } from './server/simulated-server.ts';
import type { Coverage } from './coverage.ts';
import type { InvariantChecker } from './invariant-checker.ts';

interface ConnectionEnv {
  readonly server: SimulatedServer;
  readonly clientId: string;
  readonly coverage: Coverage;
  readonly checker: InvariantChecker;
}

/** One socket, seen from both ends: frames queue in each direction until an event moves them on. */
export class Connection {
  readonly clientId: string;
  readonly server: SimulatedServer;
  readonly toServer: AgentMessage[] = [];
  readonly toAgent: (ServerMessage | 'close')[] = [];
  /** All frames ever sent, arrived or lost, for commands that deliver them late. */
  readonly sent: AgentMessage[] = [];
  session: AgentSession | undefined;
  isOpenAtAgent = true;
  isOpenAtServer = true;
  #isInHello = false;
  readonly #sessionId = uuidv7();
  readonly #coverage: Coverage;
  readonly #checker: InvariantChecker;

  constructor({ server, clientId, coverage, checker }: ConnectionEnv) {
    this.server = server;
    this.clientId = clientId;
    this.#coverage = coverage;
    this.#checker = checker;
  }

  send(message: AgentMessage): void {
    if (!this.isOpenAtAgent) throw new Error('sent into a closed socket');
    const decoded = decodeAgentMessage(JSON.stringify(message));
    if (!decoded.ok) throw new Error(`the simulated agent sent an invalid message: ${decoded.problem}`);
    this.toServer.push(decoded.message);
    this.sent.push(decoded.message);
  }

  /** No other frame is handled between `hello` and `welcome`. */
  get canDeliver(): boolean {
    return (
      this.isOpenAtServer && this.toServer.length > 0 && (this.session !== undefined || !this.#isInHello)
    );
  }

  /** Index of the first frame about another upload than all before it; 0 if there is none. */
  get overtakingIndex(): number {
    const seen = new Set<string>();
    const at = this.toServer.findIndex((message) => {
      const uploadId = ('upload_id' in message ? message.upload_id : undefined) ?? '';
      const isOther = seen.size > 0 && !seen.has(uploadId);
      seen.add(uploadId);
      return isOther;
    });
    return Math.max(0, at);
  }

  /** Delivers a frame to the server, which handles it in the background. */
  deliver(at = 0): void {
    const [message] = this.toServer.splice(at, 1);
    if (message !== undefined) this.handle(message);
  }

  handle(message: AgentMessage): void {
    void this.#take(message).catch((error: unknown) => {
      this.#checker.report(`${message.status} could not be handled: ${String(error)}`);
      this.#closeAtServer();
    });
  }

  /** The network fails. Frames in flight to the server may still arrive until it notices. */
  cut({ loseFrames }: { loseFrames: boolean }): void {
    this.isOpenAtAgent = false;
    this.#lose(this.toAgent);
    if (loseFrames) this.#lose(this.toServer);
  }

  /** The server's socket reports its close. */
  async noticeEnd(): Promise<void> {
    this.isOpenAtServer = false;
    this.isOpenAtAgent = false;
    this.#lose(this.toServer);
    if (this.session !== undefined) await endSession(this.server.domain.transfers, this.session);
  }

  async #take(message: AgentMessage): Promise<void> {
    if (message.status !== 'hello') {
      if (this.session !== undefined) await this.server.handle(this.session, message);
      return;
    }
    this.#isInHello = true;
    this.session = await hello(
      this.server.domain.transfers,
      {
        clientId: this.clientId,
        sessionId: this.#sessionId,
        nodeId: this.server.nodeId,
        token: { ...sampleToken, expiresAt: Number.MAX_SAFE_INTEGER },
        serverVersion: '0.0.0-simulation',
        send: (frame) => this.#sendToAgent(frame),
        close: () => this.#closeAtServer(),
      },
      message,
    );
    // It was closed during its hello, when there was no session to end yet.
    if (this.session !== undefined && !this.isOpenAtServer) await this.noticeEnd();
  }

  #sendToAgent(frame: ServerMessageInput): void {
    const decoded = decodeServerMessage(JSON.stringify(frame));
    if (!decoded.ok) throw new Error(`the server sent an invalid message: ${decoded.problem}`);
    if (this.isOpenAtAgent && this.isOpenAtServer) this.toAgent.push(decoded.message);
    else this.#coverage.count('frame lost with its socket');
  }

  /** Frames that arrive before the agent has closed too are still handled. */
  #closeAtServer(): void {
    if (this.isOpenAtAgent) this.toAgent.push('close');
  }

  #lose(frames: unknown[]): void {
    for (const _ of frames.splice(0)) this.#coverage.count('frame lost with its socket');
  }
}
