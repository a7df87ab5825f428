import {
  type AgentMessage,
  BackhaulError,
  DEAD_AFTER_MS,
  type Decoded,
  HEARTBEAT_INTERVAL_MS,
  type ServerMessageInput,
  closeCodes,
  decodeAgentMessage,
} from '@backhaul/protocol';
import type { RawData, WebSocket } from 'ws';
import { hello } from '../domain/agent-messages/hello.ts';
import { KeyedLock } from '../domain/keyed-lock.ts';
import type { Log } from '../domain/ports/log.ts';
import type { AgentSession } from '../domain/sessions/agent-session.ts';
import { endSession } from '../domain/sessions/end-session.ts';
import type { TransferContext } from '../domain/transfer-context.ts';
import { handleAgentMessage } from './agent-message-handlers.ts';
import { untilRecorded } from './until-recorded.ts';

/** An agent that says nothing this long after connecting is disconnected. */
const HELLO_TIMEOUT_MS = 10_000;
/** A socket whose agent does not read this much is closed; it comes back and is told anew. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
/** An agent that sends this many bad frames in a row has a fault that answers do not mend. */
const MAX_REFUSALS_IN_A_ROW = 100;
/** Above this many unhandled frames the socket is not read, so that an agent cannot fill the memory. */
const MAX_UNHANDLED_FRAMES = 16;
/** How often it is looked whether the agent is still there. */
const WATCH_INTERVAL_MS = 5000;

export interface ConnectionOptions {
  readonly clientId: string;
  readonly sessionId: string;
  readonly nodeId: string;
  readonly serverVersion: string;
  /** Milliseconds since the epoch: the token's end, and so the socket's. */
  readonly tokenExpiresAt: number;
  /** The server is about to stop. */
  readonly draining: AbortSignal;
}

/**
 * One agent's socket. Frames are begun in the order they came, those before the welcome one after another. What is
 * about one upload is handled in order, over refusals of the database too; an upload that waits for the object store
 * holds up no other.
 */
export class AgentConnection {
  readonly #socket: WebSocket;
  readonly #context: TransferContext;
  readonly #options: ConnectionOptions;
  readonly #log: Log;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #closed = Promise.withResolvers<void>();
  readonly #gone = new AbortController();
  readonly #inOrder = new KeyedLock();
  #session: AgentSession | undefined;
  #lastHeard = performance.now();
  #lastWatch = performance.now();
  #unhandled = 0;
  #refusals = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, context: TransferContext, options: ConnectionOptions & { log: Log }) {
    this.#socket = socket;
    this.#context = context;
    this.#options = options;
    this.#log = options.log;
    socket.on('message', (data, isBinary) => this.#onFrame(data, isBinary));
    socket.on('pong', () => this.#heard());
    socket.on('ping', () => this.#heard());
    // `ws` closes the socket by itself after an error: a frame too large, not UTF-8, a reset.
    socket.on('error', (error) => this.#log.warn({ err: error }, 'agent socket failed'));
    socket.on('close', (code) => this.#onClose(code));
    this.#startTimers();
  }

  /** Resolves when the socket is closed and its session ended. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Ends the connection. The peer has a few seconds to agree, then the socket is torn down. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
    const timer = setTimeout(() => this.#socket.terminate(), 3000).unref();
    this.#timers.push(timer);
  }

  #startTimers(): void {
    const { tokenExpiresAt } = this.#options;
    const heartbeat = setInterval(() => {
      if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
    }, HEARTBEAT_INTERVAL_MS);
    const watch = setInterval(() => {
      const now = performance.now();
      // While this process was busy, or did not read, it heard nothing from agents that did speak.
      const isOurFault = now - this.#lastWatch > 2 * WATCH_INTERVAL_MS || this.#socket.isPaused;
      this.#lastWatch = now;
      if (isOurFault) this.#heard();
      if (now - this.#lastHeard > DEAD_AFTER_MS) {
        this.#log.info({}, 'agent silent for too long');
        this.#socket.terminate();
      }
      // A timer cannot wait 25 days or more, and this one comes round anyway.
      if (Date.now() >= tokenExpiresAt) this.close(closeCodes.tokenExpired, 'the token has expired');
    }, WATCH_INTERVAL_MS);
    const greeting = setTimeout(() => {
      if (this.#session === undefined) this.close(closeCodes.helloTimeout, 'no hello');
    }, HELLO_TIMEOUT_MS);
    this.#timers.push(heartbeat, watch, greeting);
  }

  #heard(): void {
    this.#lastHeard = performance.now();
  }

  #onFrame(data: RawData, isBinary: boolean): void {
    this.#heard();
    this.#unhandled += 1;
    if (this.#unhandled >= MAX_UNHANDLED_FRAMES) this.#socket.pause();
    this.#tail = this.#tail.then(() => {
      const handled = this.#take(data, isBinary);
      return this.#session === undefined ? handled : undefined;
    });
  }

  /** Never rejects. */
  async #take(data: RawData, isBinary: boolean): Promise<void> {
    try {
      // `ws` hands text frames over as one Buffer.
      const frame: Decoded<AgentMessage> = isBinary
        ? { ok: false, problem: 'a binary frame; this protocol has text frames only' }
        : decodeAgentMessage((data as Buffer).toString('utf8'));
      await this.#handle(frame);
    } catch (error) {
      // Of a hello, most likely because the database is away. What else the agent said is lost with its socket; when
      // it comes back it says all of it again, and its transfers go on meanwhile.
      this.#log.error({ err: error }, 'agent message not handled');
      this.close(closeCodes.tryAgain, 'the message could not be handled now; connect again');
    } finally {
      this.#unhandled -= 1;
      if (this.#socket.isPaused) this.#socket.resume();
    }
  }

  async #handle(frame: Decoded<AgentMessage>): Promise<void> {
    if (!frame.ok) return this.#refuse(new BackhaulError('protocol_error', frame.problem));
    const { message } = frame;
    if (message.status === 'hello') return this.#greet(message);
    const session = this.#session;
    if (session === undefined) {
      return this.#refuse(new BackhaulError('protocol_error', 'the first message must be hello'));
    }
    this.#refusals = 0;
    const handle = () => handleAgentMessage(this.#context, session, message);
    const subject = 'upload_id' in message ? message.upload_id : message.status;
    // What comes later of the same upload may make sense only after it.
    await this.#inOrder.run(subject, () =>
      untilRecorded(handle, { signal: this.#gone.signal, log: this.#log }),
    );
  }

  async #greet(message: Extract<AgentMessage, { status: 'hello' }>): Promise<void> {
    if (this.#session !== undefined) {
      return this.#refuse(new BackhaulError('protocol_error', 'hello was already said'));
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
    this.#log.info({ epoch: this.#session?.epoch, agentVersion: message.agent_version }, 'agent connected');
  }

  #refuse(error: BackhaulError): void {
    this.#log.warn({ code: error.code, problem: error.message }, 'agent message refused');
    this.#send({ action: 'error', code: error.code, message: error.message.slice(0, 2000) });
    this.#refusals += 1;
    if (this.#refusals === MAX_REFUSALS_IN_A_ROW) {
      this.close(closeCodes.protocolViolation, 'too many messages that the protocol does not allow');
    }
  }

  #send(message: ServerMessageInput): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.close(closeCodes.slowReader, 'the agent does not read what it is sent');
      return;
    }
    this.#socket.send(JSON.stringify(message));
  }

  #onClose(code: number): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#gone.abort();
    this.#tail = this.#tail.then(async () => {
      const session = this.#session;
      this.#log.info({ code }, 'agent disconnected');
      try {
        if (session === undefined) return;
        // What this leaves, the next hello or the next start settles.
        await untilRecorded(() => endSession(this.#context, session), {
          signal: this.#options.draining,
          log: this.#log,
        });
      } catch (error) {
        this.#log.error({ err: error }, 'session not ended properly');
      } finally {
        this.#closed.resolve();
      }
    });
  }
}
