import {
  type AgentMessage,
  type ServerMessage,
  type ServerMessageInput,
  decodeAgentMessage,
  decodeServerMessage,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { hello } from '../agent-messages/hello.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import { endSession } from '../sessions/end-session.ts';
import type { SimulatedServer } from './server/simulated-server.ts';
import type { Tally } from './tally.ts';
import type { Witness } from './witness.ts';

interface ConnectionSurroundings {
  readonly server: SimulatedServer;
  readonly clientId: string;
  readonly tally: Tally;
  readonly witness: Witness;
}

/** One socket, seen from both of its ends: frames queue in each direction until somebody moves them on. */
export class Connection {
  readonly clientId: string;
  readonly server: SimulatedServer;
  readonly toServer: AgentMessage[] = [];
  readonly toAgent: (ServerMessage | 'close')[] = [];
  /** Whatever was put into it, arrived or lost, for those who want to see it come late. */
  readonly sent: AgentMessage[] = [];
  session: AgentSession | undefined;
  isOpenAtAgent = true;
  isOpenAtServer = true;
  #isGreeting = false;
  readonly #sessionId = uuidv7();
  readonly #tally: Tally;
  readonly #witness: Witness;

  constructor({ server, clientId, tally, witness }: ConnectionSurroundings) {
    this.server = server;
    this.clientId = clientId;
    this.#tally = tally;
    this.#witness = witness;
  }

  send(message: AgentMessage): void {
    if (!this.isOpenAtAgent) throw new Error('sent into a socket that is closed');
    const decoded = decodeAgentMessage(JSON.stringify(message));
    if (!decoded.ok) throw new Error(`the simulated agent spoke nonsense: ${decoded.problem}`);
    this.toServer.push(decoded.message);
    this.sent.push(decoded.message);
  }

  /** Nothing is handled between `hello` and `welcome`. */
  get canDeliver(): boolean {
    return (
      this.isOpenAtServer && this.toServer.length > 0 && (this.session !== undefined || !this.#isGreeting)
    );
  }

  /** Where the first frame stands that is of another upload than all before it; 0 if none is. */
  get overtaker(): number {
    const seen = new Set<string>();
    const at = this.toServer.findIndex((message) => {
      const uploadId = ('upload_id' in message ? message.upload_id : undefined) ?? '';
      const isOther = seen.size > 0 && !seen.has(uploadId);
      seen.add(uploadId);
      return isOther;
    });
    return Math.max(0, at);
  }

  /** Hands the server a frame. Its handling goes on in the background. */
  deliver(at = 0): void {
    const [message] = this.toServer.splice(at, 1);
    if (message !== undefined) this.handle(message);
  }

  handle(message: AgentMessage): void {
    void this.#take(message).catch((error: unknown) => {
      this.#witness.object(`${message.status} could not be handled: ${String(error)}`);
      this.#closeAtServer();
    });
  }

  /** The network fails. What was under way to the server may still arrive, until it notices. */
  cut({ loseFrames }: { loseFrames: boolean }): void {
    this.isOpenAtAgent = false;
    this.#lose(this.toAgent);
    if (loseFrames) this.#lose(this.toServer);
  }

  /** The server's socket tells it that it is closed. */
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
    this.#isGreeting = true;
    this.session = await hello(
      this.server.domain.transfers,
      {
        clientId: this.clientId,
        sessionId: this.#sessionId,
        nodeId: this.server.nodeId,
        token: { issuedAt: 0, expiresAt: Number.MAX_SAFE_INTEGER, isOfPreviousSecret: false },
        serverVersion: '0.0.0-model',
        send: (frame) => this.#sendToAgent(frame),
        close: () => this.#closeAtServer(),
      },
      message,
    );
    // It was closed while it was greeted, and nobody could end its session then.
    if (this.session !== undefined && !this.isOpenAtServer) await this.noticeEnd();
  }

  #sendToAgent(frame: ServerMessageInput): void {
    const decoded = decodeServerMessage(JSON.stringify(frame));
    if (!decoded.ok) throw new Error(`the server spoke nonsense: ${decoded.problem}`);
    if (this.isOpenAtAgent && this.isOpenAtServer) this.toAgent.push(decoded.message);
    else this.#tally.count('frame lost with its socket');
  }

  /** Frames that come until the agent agrees are still handled. */
  #closeAtServer(): void {
    if (this.isOpenAtAgent) this.toAgent.push('close');
  }

  #lose(frames: unknown[]): void {
    for (const _ of frames.splice(0)) this.#tally.count('frame lost with its socket');
  }
}
