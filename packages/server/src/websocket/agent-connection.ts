import {
  type AgentMessage,
  DEAD_AFTER_MS,
  type Decoded,
  HEARTBEAT_INTERVAL_MS,
  type Refusal,
  type ServerMessageInput,
  closeCodes,
  decodeAgentMessage,
} from '@backhaul/protocol';
import type { RawData, WebSocket } from 'ws';
import { endSession, hello } from '../domain/agents/handlers/hello.ts';
import { refusedMessage } from '../domain/agents/handlers/endings.ts';
import { KeyedLock } from '../domain/concurrency.ts';
import type { Log } from '../domain/ports/log.ts';
import type { AgentSession, SessionToken } from '../domain/agents/session.ts';
import type { TransferContext } from '../domain/agents/handlers/context.ts';
import { handleAgentMessage, retryOnStoreError } from './agent-message-handlers.ts';
import type { ClientAccount } from './client-budgets.ts';
import { PacedLog } from './paced-log.ts';

/** An agent that sends nothing this long after connecting is disconnected. */
const HELLO_TIMEOUT_MS = 10_000;
/** A connection whose agent leaves this much unread is closed; the agent reconnects and gets the current state. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
/** Above this many unhandled frames the socket is not read, so that an agent cannot fill the memory. */
const MAX_UNHANDLED_FRAMES = 16;
/** Interval of the check whether the agent is still connected. */
const WATCH_INTERVAL_MS = 5000;
/** The same timer sends the pings: one timer for each of thousands of agents. */
const PING_EVERY_WATCHES = HEARTBEAT_INTERVAL_MS / WATCH_INTERVAL_MS;

export interface ConnectionOptions {
  readonly clientId: string;
  readonly sessionId: string;
  readonly nodeId: string;
  readonly serverVersion: string;
  /** The client's address, as reported by trusted proxies. */
  readonly remoteAddress: string;
  /** Its expiry closes the connection. */
  readonly token: SessionToken;
  /** Aborts when the server is about to stop. */
  readonly draining: AbortSignal;
  readonly account: Pick<ClientAccount, 'budget' | 'abused'>;
  readonly observe: FrameObserver;
}

/** Observes frames that cost too much or cannot be parsed. */
export interface FrameObserver {
  refused(): void;
  /** Reading from the agent pauses until its frames' cost is paid off. */
  throttled(): void;
  closedForAbuse(): void;
}

/**
 * One agent's connection. Frames are started in the order of arrival, those before the welcome one after another.
 * Frames about one upload are handled sequentially, also across database refusals; an upload that waits for the
 * object store does not block others.
 */
export class AgentConnection {
  readonly #socket: WebSocket;
  readonly #context: TransferContext;
  readonly #options: ConnectionOptions;
  readonly #log: Log;
  /** For lines that the agent can cause at will. */
  readonly #pacedLog: PacedLog;
  readonly #watch: NodeJS.Timeout;
  /** Runs until the hello. */
  #helloTimer: NodeJS.Timeout | undefined;
  /** Runs after `close`. */
  #termination: NodeJS.Timeout | undefined;
  readonly #closed = Promise.withResolvers<void>();
  readonly #aborted = new AbortController();
  readonly #inOrder = new KeyedLock();
  #session: AgentSession | undefined;
  #lastHeard = performance.now();
  #lastWatch = performance.now();
  #watches = 0;
  #unhandled = 0;
  /** Set until a debt is paid off. */
  #throttle: NodeJS.Timeout | undefined;
  /** No further frames are handled. */
  #isIgnored = false;
  #tail: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, context: TransferContext, options: ConnectionOptions & { log: Log }) {
    this.#socket = socket;
    this.#options = options;
    this.#log = options.log;
    this.#pacedLog = new PacedLog(options.log);
    // There are thousands of these: shared properties are inherited, not copied.
    this.#context = Object.assign(Object.create(context) as TransferContext, { log: this.#pacedLog });
    socket.on('message', (data, isBinary) => this.#onFrame(data, isBinary));
    socket.on('pong', (data) => this.#onControlFrame(data));
    socket.on('ping', (data) => this.#onControlFrame(data));
    // `ws` closes the socket itself after an error: a frame too large, not UTF-8, a reset.
    socket.on('error', (error) => this.#log.warn({ err: error }, 'agent socket failed'));
    socket.on('close', (code) => this.#onClose(code));
    this.#watch = setInterval(() => this.#onWatch(), WATCH_INTERVAL_MS);
    this.#helloTimer = setTimeout(() => this.close(closeCodes.helloTimeout, 'no hello'), HELLO_TIMEOUT_MS);
  }

  /** Resolves when the socket is closed and its session ended. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Closes the connection. The peer has a few seconds to agree, then the socket is destroyed. */
  close(code: number, reason: string): void {
    // Frames that arrive before the socket is closed must be ignored.
    if (code === closeCodes.clientBlocked) this.#isIgnored = true;
    this.#socket.close(code, reason);
    this.#termination ??= setTimeout(() => this.#socket.terminate(), 3000).unref();
  }

  #onWatch(): void {
    const now = performance.now();
    // While this process was busy or paused reading, it received nothing from agents that did send.
    const isOurFault = now - this.#lastWatch > 2 * WATCH_INTERVAL_MS || this.#socket.isPaused;
    this.#lastWatch = now;
    if (isOurFault) this.#heard();
    if (now - this.#lastHeard > DEAD_AFTER_MS) {
      this.#log.info({}, 'agent silent for too long');
      this.#socket.terminate();
    }
    // Timers are limited to 25 days, and this check runs anyway.
    if (Date.now() >= this.#options.token.expiresAt) {
      this.close(closeCodes.tokenExpired, 'the token has expired');
    }
    this.#watches += 1;
    const isPingDue = this.#watches % PING_EVERY_WATCHES === 0;
    if (isPingDue && this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #heard(): void {
    this.#lastHeard = performance.now();
  }

  /** `ws` itself responds to pings. A ping or pong costs as much of the budget as a message of its size. */
  #onControlFrame(data: Buffer): void {
    this.#heard();
    const { budget } = this.#options.account;
    budget.receive(data.length);
    budget.read(data.length, () => {});
    this.#throttleIfInDebt();
  }

  #onFrame(data: RawData, isBinary: boolean): void {
    this.#heard();
    if (this.#isIgnored) return;
    // `ws` delivers text frames as one Buffer.
    this.#options.account.budget.receive((data as Buffer).length);
    this.#unhandled += 1;
    if (this.#unhandled >= MAX_UNHANDLED_FRAMES) this.#socket.pause();
    this.#throttleIfInDebt();
    this.#tail = this.#tail.then(() => {
      const handled = this.#take(data, isBinary);
      return this.#session === undefined ? handled : undefined;
    });
  }

  #throttleIfInDebt(): void {
    const { account, observe } = this.#options;
    const { debtMs } = account.budget;
    if (debtMs === 0 || this.#throttle !== undefined || this.#isIgnored) return;
    observe.throttled();
    this.#pacedLog.warn({ waitMs: debtMs }, 'agent exceeds its rate limit; reading paused');
    this.#socket.pause();
    this.#throttle = setTimeout(() => {
      this.#throttle = undefined;
      this.#throttleIfInDebt();
      this.#resume();
    }, debtMs);
  }

  #resume(): void {
    const mayRead =
      !this.#isIgnored && this.#throttle === undefined && this.#unhandled < MAX_UNHANDLED_FRAMES;
    if (mayRead && this.#socket.isPaused) this.#socket.resume();
  }

  /** Never rejects. */
  async #take(data: RawData, isBinary: boolean): Promise<void> {
    try {
      if (this.#isIgnored) return;
      const frame: Decoded<AgentMessage> = isBinary
        ? { ok: false, problem: 'a binary frame; this protocol has text frames only', subject: null }
        : this.#options.account.budget.read((data as Buffer).length, () =>
            decodeAgentMessage((data as Buffer).toString('utf8')),
          );
      this.#throttleIfInDebt();
      await this.#handle(frame, (data as Buffer).length);
    } catch (error) {
      // For a hello, most likely because the database is unreachable. Other messages are lost with the socket; after
      // reconnecting the agent repeats all of them, and its transfers continue meanwhile.
      this.#log.error({ err: error }, 'agent message not handled');
      this.close(closeCodes.tryAgain, 'the message could not be handled now; reconnect');
    } finally {
      this.#unhandled -= 1;
      this.#resume();
    }
  }

  async #handle(frame: Decoded<AgentMessage>, bytes: number): Promise<void> {
    const session = this.#session;
    if (!frame.ok) {
      this.#refuse(frame, bytes);
      if (session === undefined || frame.subject === null) return;
      const { subject } = frame;
      const problem = `The server could not parse a message of the agent: ${frame.problem}`;
      const end = () => refusedMessage(this.#context, session, { subject, problem });
      await this.#inOrderOf('upload_id' in subject ? subject.upload_id : subject.command_id, end);
      return;
    }
    const { message } = frame;
    if (message.status === 'hello') return this.#greet(message);
    if (session === undefined) {
      return this.#refuse({ problem: 'the first message must be hello', subject: null });
    }
    const subject = 'upload_id' in message ? message.upload_id : undefined;
    await this.#inOrderOf(subject ?? message.status, () =>
      handleAgentMessage(this.#context, session, message),
    );
  }

  /**
   * Later frames about the same upload may make sense only after this one. The ledger's lock does not suffice: it is
   * released when the database refuses a write, and the next frame would overtake the one that is retried.
   */
  #inOrderOf(subject: string, handle: () => Promise<void>): Promise<boolean> {
    return this.#inOrder.run(subject, () =>
      retryOnStoreError(handle, { signal: this.#aborted.signal, log: this.#log }),
    );
  }

  async #greet(message: Extract<AgentMessage, { status: 'hello' }>): Promise<void> {
    if (this.#session !== undefined) {
      return this.#refuse({ problem: 'hello was already sent', subject: null });
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#session = await hello(
      this.#context,
      {
        ...this.#options,
        send: (frame) => this.#send(frame),
        close: (code, reason) => this.close(code, reason),
      },
      message,
    );
    if (this.#session !== undefined) {
      clearTimeout(this.#helloTimer);
      this.#helloTimer = undefined;
    }
    const { remoteAddress: address } = this.#options;
    const { agent_version: agentVersion } = message;
    this.#log.info({ epoch: this.#session?.epoch, agentVersion, address }, 'agent connected');
  }

  #refuse({ problem, subject, isUnknownKind = false }: Refusal, bytes = 0): void {
    if (this.#isIgnored) return;
    const { account, observe } = this.#options;
    observe.refused();
    this.#pacedLog.warn({ problem, ...subject }, 'agent message refused');
    this.#send({ action: 'error', code: 'protocol_error', message: problem, ...subject });
    // From a newer agent: it has paid for bytes and CPU time like a known message.
    if (isUnknownKind || account.budget.refuse(bytes)) return;
    account.abused();
    observe.closedForAbuse();
    this.#isIgnored = true;
    this.#socket.pause();
    this.close(closeCodes.protocolViolation, 'too many protocol violations');
  }

  #send(message: ServerMessageInput): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.close(closeCodes.slowReader, 'the agent does not read its messages');
      return;
    }
    this.#socket.send(JSON.stringify(message));
  }

  #onClose(code: number): void {
    clearInterval(this.#watch);
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#termination);
    clearTimeout(this.#throttle);
    this.#pacedLog.close();
    this.#aborted.abort();
    this.#tail = this.#tail.then(async () => {
      const session = this.#session;
      this.#log.info({ code }, 'agent disconnected');
      try {
        if (session === undefined) return;
        // The next hello or the next start cleans up what this leaves.
        await retryOnStoreError(() => endSession(this.#context, session), {
          signal: this.#options.draining,
          log: this.#log,
        });
      } catch (error) {
        this.#log.error({ err: error }, 'failed to end the session');
      } finally {
        this.#closed.resolve();
      }
    });
  }
}
