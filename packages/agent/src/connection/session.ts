import { Agent } from 'node:https';
import { type ProxyInUse, trustSystem } from '@backhaul/program';
import {
  type AgentMessageInput,
  CONNECT_PATH,
  DEAD_AFTER_MS,
  decodeServerMessage,
  explainConnectionFault,
  HEARTBEAT_INTERVAL_MS,
  MAX_FRAME_BYTES,
  type MessageSubject,
  type PeerBudget,
  type ServerMessage,
  SUBPROTOCOL,
} from '@backhaul/protocol';
import { WebSocket } from 'ws';
import type { ClientCertificate } from './client-certificate.ts';
import { Heartbeat } from './heartbeat.ts';
import { readProblem, type SessionEnd } from './session-end.ts';

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
  /** For wss. */
  readonly proxy: ProxyInUse | null;
  /** Shown if the server asks. */
  readonly certificate: ClientCertificate | null;
  readonly hello: () => AgentMessageInput;
  readonly receive: (message: ServerMessage) => void;
  /** A message that cannot be read; what it was about has to end. */
  readonly refuse: (subject: MessageSubject, problem: string) => void;
  /** What the server's frames may cost; kept over sessions. */
  readonly budget: PeerBudget;
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
  /** Until a debt is paid. */
  #throttle: NodeJS.Timeout | null = null;
  #isOver = false;
  #welcomedAt: number | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.#end = resolve;
    if (options.serverUrl.protocol === 'wss:') trustSystem();
    const socket = new WebSocket(connectUrl(options.serverUrl), SUBPROTOCOL, {
      headers: { authorization: `Bearer ${options.token}` },
      perMessageDeflate: false,
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: options.timings.handshakeMs,
      followRedirects: false,
      ...options.certificate,
      ...(options.proxy === null ? {} : { agent: new Agent({ proxyEnv: options.proxy.proxyEnv }) }),
    });
    this.#socket = socket;
    this.#heartbeat = new Heartbeat({
      ping: () => socket.ping(),
      onDead: () =>
        this.#abandon({ kind: 'lost', detail: 'nothing received any more', heldMs: this.#heldMs() }),
      now: options.now,
    });
    this.#greeting = setTimeout(
      () => this.#abandon(this.#unreachable(Object.assign(new Error('no socket'), { code: 'ETIMEDOUT' }))),
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
      // What `ws` had read already of a server that was given up.
      if (this.#isOver) return;
      // `data` is a Buffer: binaryType is left at its default.
      this.#options.budget.receive((data as Buffer).length);
      this.#receive(isBinary ? null : (data as Buffer));
      this.#throttleIfInDebt();
    });
    socket.on('ping', () => this.#heartbeat.heard());
    socket.on('pong', () => this.#heartbeat.heard());
    socket.on('unexpected-response', (request, response) => {
      const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
      void readProblem(response).then((problem) => {
        this.#abandon({
          kind: 'refused',
          status: response.statusCode ?? 0,
          retryAfterMs: retryAfter >= 0 ? retryAfter * 1000 : null,
          problem,
        });
        request.destroy();
      });
    });
    // Without a listener an error would end the process; `close` follows, but does not know the reason.
    socket.on('error', (error) => {
      if (this.#welcomedAt === null) this.#finish(this.#unreachable(error));
      else this.#finish({ kind: 'lost', detail: nameOf(error), heldMs: this.#heldMs() });
    });
    socket.on('close', (code) => this.#finish({ kind: 'closed', code, heldMs: this.#heldMs() }));
  }

  #throttleIfInDebt(): void {
    const { debtMs } = this.#options.budget;
    if (debtMs === 0 || this.#throttle !== null || this.#isOver) return;
    this.#socket.pause();
    this.#throttle = setTimeout(() => {
      this.#throttle = null;
      // Nothing was heard because nothing was read.
      this.#heartbeat.heard();
      this.#socket.resume();
      this.#throttleIfInDebt();
    }, debtMs);
  }

  #receive(frame: Buffer | null): void {
    if (frame === null) return this.#refuse('the frame is binary', { subject: null, bytes: 0 });
    const decoded = this.#options.budget.read(frame.length, () =>
      decodeServerMessage(frame.toString('utf8')),
    );
    if (!decoded.ok) {
      // Of a newer server: it has paid for bytes and CPU time, like a message that is known.
      if (decoded.isUnknownKind === true) return this.#protocolError(decoded.problem);
      return this.#refuse(decoded.problem, { subject: decoded.subject, bytes: frame.length });
    }
    this.#handle(decoded.message);
  }

  #refuse(problem: string, { subject, bytes }: { subject: MessageSubject | null; bytes: number }): void {
    if (!this.#options.budget.refuse(bytes)) {
      const detail = `the server goes on sending what cannot be read: ${problem}`;
      return this.#abandon({ kind: 'lost', detail, heldMs: this.#heldMs() });
    }
    if (subject === null || this.#welcomedAt === null) return this.#protocolError(problem);
    return this.#options.refuse(subject, problem);
  }

  #handle(message: ServerMessage): void {
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

  #unreachable(error: Error): SessionEnd {
    const { serverUrl, proxy } = this.#options;
    const port = serverUrl.port || (serverUrl.protocol === 'wss:' ? '443' : '80');
    const fault = explainConnectionFault(error, {
      host: `${serverUrl.hostname}:${port}`,
      addressSetting: '--server-url',
      authoritySetting: '--ca-file or NODE_EXTRA_CA_CERTS',
      proxy,
    });
    return { kind: 'unreachable', detail: nameOf(error), fault };
  }

  #abandon(end: SessionEnd): void {
    this.#finish(end);
    this.#socket.terminate();
  }

  #finish(end: SessionEnd): void {
    this.#isOver = true;
    clearTimeout(this.#greeting);
    if (this.#throttle !== null) clearTimeout(this.#throttle);
    this.#heartbeat.stop();
    this.#end(end);
  }
}

function nameOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.message;
}

function connectUrl(serverUrl: URL): URL {
  const url = new URL(serverUrl);
  url.pathname = url.pathname.replace(/\/+$/, '') + CONNECT_PATH;
  return url;
}
