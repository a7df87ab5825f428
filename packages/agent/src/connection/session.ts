import type { Agent } from 'node:http';
import {
  type AgentMessageInput,
  CONNECT_PATH,
  DEAD_AFTER_MS,
  decodeServerMessage,
  HEARTBEAT_INTERVAL_MS,
  MAX_FRAME_BYTES,
  type ServerMessage,
  SUBPROTOCOL,
} from '@backhaul/protocol';
import { WebSocket } from 'ws';
import { Heartbeat } from './heartbeat.ts';
import type { SessionEnd } from './session-end.ts';

/** More than this unsent, and progress reports wait. Bytes. */
const CONGESTED_BYTES = 256 * 1024;

/** More than this unsent, and the server does not read what it asks for: nothing of it is worth the memory. Bytes. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

export interface SessionTimings {
  /** Without a sign of life before the socket is open. */
  readonly handshakeMs: number;
  /** From the question to DNS to an open socket, with TLS and a proxy: `handshakeMs` alone misses TLS behind a proxy. */
  readonly connectMs: number;
  readonly welcomeMs: number;
  /** For the close frame's answer. */
  readonly closeMs: number;
}

export const defaultSessionTimings: SessionTimings = {
  handshakeMs: 10_000,
  connectMs: 30_000,
  welcomeMs: 10_000,
  closeMs: 1000,
};

interface SessionOptions {
  /** The server's address without `/ws/connect`. */
  readonly serverUrl: URL;
  readonly token: string;
  /** A proxy's, for wss. */
  readonly agent: Agent | null;
  readonly hello: () => AgentMessageInput;
  readonly receive: (message: ServerMessage) => void;
  readonly timings: SessionTimings;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** One WebSocket, from the handshake to its end. */
export class Session {
  readonly ended: Promise<SessionEnd>;
  readonly #socket: WebSocket;
  readonly #options: SessionOptions;
  readonly #end: (end: SessionEnd) => void;
  readonly #heartbeat: Heartbeat;
  #greeting: NodeJS.Timeout;
  #welcomedAt: number | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.#end = resolve;
    const socket = new WebSocket(connectUrl(options.serverUrl), SUBPROTOCOL, {
      headers: { authorization: `Bearer ${options.token}` },
      perMessageDeflate: false,
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: options.timings.handshakeMs,
      followRedirects: false,
      ...(options.agent === null ? {} : { agent: options.agent }),
    });
    this.#socket = socket;
    this.#heartbeat = new Heartbeat({
      ping: () => socket.ping(),
      onDead: () =>
        this.#abandon({ kind: 'lost', detail: 'nothing received any more', heldMs: this.#heldMs() }),
      now: options.now,
    });
    this.#greeting = setTimeout(
      () => this.#abandon({ kind: 'unreachable', detail: 'ETIMEDOUT' }),
      options.timings.connectMs,
    );
    this.#listen();
  }

  get welcomed(): boolean {
    return this.#welcomedAt !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  get congested(): boolean {
    return this.#socket.bufferedAmount > CONGESTED_BYTES;
  }

  get heardAt(): number | null {
    return this.welcomed ? this.#heartbeat.heardAt : null;
  }

  /** The pong tells that the server is there. */
  probe(): void {
    if (this.welcomed && !this.congested) this.#socket.ping();
  }

  /** @returns Whether the frame was handed to an open socket. */
  send(message: AgentMessageInput): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    if (this.#socket.bufferedAmount > MAX_UNSENT_BYTES) {
      this.#abandon({ kind: 'lost', detail: 'the server does not read', heldMs: this.#heldMs() });
      return false;
    }
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Says goodbye; waits for the answer only briefly. */
  async close(): Promise<void> {
    const timer = setTimeout(() => this.#socket.terminate(), this.#options.timings.closeMs);
    this.#socket.close(1001, 'agent stops');
    await this.ended;
    clearTimeout(timer);
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('open', () => {
      this.#heartbeat.start({ intervalMs: HEARTBEAT_INTERVAL_MS, deadAfterMs: DEAD_AFTER_MS });
      clearTimeout(this.#greeting);
      this.#greeting = setTimeout(
        () => this.#abandon({ kind: 'lost', detail: 'no welcome after hello', heldMs: 0 }),
        this.#options.timings.welcomeMs,
      );
      this.send(this.#options.hello());
    });
    socket.on('message', (data, isBinary) => {
      this.#heartbeat.heard();
      // `data` is a Buffer: binaryType is left at its default.
      this.#receive(isBinary ? null : (data as Buffer).toString('utf8'));
    });
    socket.on('ping', () => this.#heartbeat.heard());
    socket.on('pong', () => this.#heartbeat.heard());
    socket.on('unexpected-response', (request, response) => {
      const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
      this.#abandon({
        kind: 'refused',
        status: response.statusCode ?? 0,
        retryAfterMs: retryAfter >= 0 ? retryAfter * 1000 : null,
      });
      request.destroy();
    });
    // Without a listener an error would end the process; `close` follows, but does not know the reason.
    socket.on('error', (error) => {
      const detail = 'code' in error ? String(error.code) : error.message;
      if (this.#welcomedAt === null) this.#finish({ kind: 'unreachable', detail });
      else this.#finish({ kind: 'lost', detail, heldMs: this.#heldMs() });
    });
    socket.on('close', (code) => this.#finish({ kind: 'closed', code, heldMs: this.#heldMs() }));
  }

  #receive(frame: string | null): void {
    const decoded =
      frame === null ? { ok: false as const, problem: 'the frame is binary' } : decodeServerMessage(frame);
    if (!decoded.ok) return this.#protocolError(decoded.problem);
    const { message } = decoded;
    if (message.action === 'welcome') this.#welcomed(message.heartbeat_interval_ms, message.dead_after_ms);
    else if (this.#welcomedAt === null && message.action !== 'error') {
      return this.#protocolError(`action "${message.action}" came before welcome`);
    }
    this.#options.receive(message);
  }

  #welcomed(intervalMs: number, deadAfterMs: number): void {
    clearTimeout(this.#greeting);
    this.#welcomedAt ??= this.#options.now();
    this.#heartbeat.start({ intervalMs, deadAfterMs });
  }

  #protocolError(problem: string): void {
    this.send({ status: 'error', code: 'protocol_error', message: problem.slice(0, 2000) });
  }

  #heldMs(): number {
    return this.#welcomedAt === null ? 0 : this.#options.now() - this.#welcomedAt;
  }

  #abandon(end: SessionEnd): void {
    this.#finish(end);
    this.#socket.terminate();
  }

  #finish(end: SessionEnd): void {
    clearTimeout(this.#greeting);
    this.#heartbeat.stop();
    this.#end(end);
  }
}

function connectUrl(serverUrl: URL): URL {
  const url = new URL(serverUrl);
  url.pathname = url.pathname.replace(/\/+$/, '') + CONNECT_PATH;
  return url;
}
