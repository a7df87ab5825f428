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
import type { ClientCertificate } from '../credentials/client-certificate.ts';
import { codeOf } from '../errno.ts';
import { type ConnectionEnd, readProblem } from './connection-end.ts';
import { Heartbeat } from './heartbeat.ts';

/** With more unsent bytes, progress reports are held back. */
const CONGESTED_BYTES = 256 * 1024;

/** With more unsent bytes, the server is not reading its responses and the connection is closed. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

export interface ConnectionTimings {
  /** Idle timeout until the socket is open. */
  readonly handshakeMs: number;
  /** Timeout from the DNS lookup to an open socket. Covers TLS behind a proxy, which `handshakeMs` does not. */
  readonly connectMs: number;
  readonly welcomeMs: number;
  /** Timeout for the peer's close frame. */
  readonly closeMs: number;
}

export const defaultConnectionTimings: ConnectionTimings = {
  handshakeMs: 10_000,
  connectMs: 30_000,
  welcomeMs: 10_000,
  closeMs: 1000,
};

interface ConnectionDeps {
  /** Server address without `/ws/connect`. */
  readonly serverUrl: URL;
  readonly token: string;
  /** Used for wss. */
  readonly proxy: ProxyInUse | null;
  /** Sent if the server requests one. */
  readonly certificate: ClientCertificate | null;
  readonly hello: () => AgentMessageInput;
  readonly onMessage: (message: ServerMessage) => void;
  /** Called for an invalid message; the upload or command that it is about must end. */
  readonly onInvalidMessage: (subject: MessageSubject, problem: string) => void;
  /** Limits the cost of the server's frames; shared by successive connections. */
  readonly budget: PeerBudget;
  readonly timings: ConnectionTimings;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** One WebSocket, from the handshake to its close. */
export class ServerConnection {
  readonly ended: Promise<ConnectionEnd>;
  readonly #socket: WebSocket;
  readonly #deps: ConnectionDeps;
  readonly #end: (end: ConnectionEnd) => void;
  readonly #heartbeat: Heartbeat;
  /** Runs until the socket is open, then until `welcome`. */
  #handshakeTimer: NodeJS.Timeout;
  /** Reading is paused until it fires. */
  #throttle: NodeJS.Timeout | null = null;
  #isOver = false;
  #welcomedAt: number | null = null;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.ended = promise;
    this.#end = resolve;
    if (deps.serverUrl.protocol === 'wss:') trustSystem();
    const socket = new WebSocket(connectUrl(deps.serverUrl), SUBPROTOCOL, {
      headers: { authorization: `Bearer ${deps.token}` },
      perMessageDeflate: false,
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: deps.timings.handshakeMs,
      followRedirects: false,
      ...deps.certificate,
      ...(deps.proxy === null ? {} : { agent: new Agent({ proxyEnv: deps.proxy.proxyEnv }) }),
    });
    this.#socket = socket;
    this.#heartbeat = new Heartbeat({
      ping: () => socket.ping(),
      onDead: () => this.#abandon({ kind: 'lost', detail: 'no data received', sessionMs: this.#sessionMs() }),
      now: deps.now,
    });
    this.#handshakeTimer = setTimeout(
      () => this.#abandon(this.#unreachable(Object.assign(new Error('no socket'), { code: 'ETIMEDOUT' }))),
      deps.timings.connectMs,
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

  /** The pong updates `heardAt`. */
  probe(): void {
    if (this.welcomed && !this.congested) this.#socket.ping();
  }

  /** @returns Whether the frame was handed to an open socket. */
  send(message: AgentMessageInput): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    if (this.#socket.bufferedAmount > MAX_UNSENT_BYTES) {
      this.#abandon({ kind: 'lost', detail: 'the server does not read', sessionMs: this.#sessionMs() });
      return false;
    }
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Closes the WebSocket; waits only briefly for the peer's close frame. */
  async close(): Promise<void> {
    const timer = setTimeout(() => this.#socket.terminate(), this.#deps.timings.closeMs);
    this.#socket.close(1001, 'agent stops');
    await this.ended;
    clearTimeout(timer);
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('open', () => {
      this.#heartbeat.start({ intervalMs: HEARTBEAT_INTERVAL_MS, deadAfterMs: DEAD_AFTER_MS });
      clearTimeout(this.#handshakeTimer);
      this.#handshakeTimer = setTimeout(
        () => this.#abandon({ kind: 'lost', detail: 'no welcome after hello', sessionMs: 0 }),
        this.#deps.timings.welcomeMs,
      );
      this.send(this.#deps.hello());
    });
    socket.on('message', (data, isBinary) => {
      this.#heartbeat.heard();
      // `ws` may deliver frames that it read before the connection was abandoned.
      if (this.#isOver) return;
      // `data` is a Buffer, because binaryType has its default.
      this.#deps.budget.receive((data as Buffer).length);
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
    // Without a listener an error would end the process. `close` follows, but without the reason.
    socket.on('error', (error) => {
      if (this.#welcomedAt === null) this.#finish(this.#unreachable(error));
      else this.#finish({ kind: 'lost', detail: nameOf(error), sessionMs: this.#sessionMs() });
    });
    socket.on('close', (code) => this.#finish({ kind: 'closed', code, sessionMs: this.#sessionMs() }));
  }

  #throttleIfInDebt(): void {
    const { debtMs } = this.#deps.budget;
    if (debtMs === 0 || this.#throttle !== null || this.#isOver) return;
    this.#socket.pause();
    this.#throttle = setTimeout(() => {
      this.#throttle = null;
      // Nothing arrived because reading was paused.
      this.#heartbeat.heard();
      this.#socket.resume();
      this.#throttleIfInDebt();
    }, debtMs);
  }

  #receive(frame: Buffer | null): void {
    if (frame === null) return this.#reject('the frame is binary', { subject: null, bytes: 0 });
    const decoded = this.#deps.budget.read(frame.length, () => decodeServerMessage(frame.toString('utf8')));
    if (!decoded.ok) {
      // From a newer server. Its bytes and CPU time are already charged, like those of a known message.
      if (decoded.isUnknownKind === true) return this.#protocolError(decoded.problem);
      return this.#reject(decoded.problem, { subject: decoded.subject, bytes: frame.length });
    }
    this.#handle(decoded.message);
  }

  #reject(problem: string, { subject, bytes }: { subject: MessageSubject | null; bytes: number }): void {
    if (!this.#deps.budget.refuse(bytes)) {
      const detail = `the server keeps sending invalid messages: ${problem}`;
      return this.#abandon({ kind: 'lost', detail, sessionMs: this.#sessionMs() });
    }
    if (subject === null || this.#welcomedAt === null) return this.#protocolError(problem);
    return this.#deps.onInvalidMessage(subject, problem);
  }

  #handle(message: ServerMessage): void {
    if (message.action === 'welcome') this.#welcomed(message.heartbeat_interval_ms, message.dead_after_ms);
    else if (this.#welcomedAt === null && message.action !== 'error') {
      return this.#protocolError(`action "${message.action}" received before welcome`);
    }
    this.#deps.onMessage(message);
  }

  #welcomed(intervalMs: number, deadAfterMs: number): void {
    clearTimeout(this.#handshakeTimer);
    this.#welcomedAt ??= this.#deps.now();
    this.#heartbeat.start({ intervalMs, deadAfterMs });
  }

  #protocolError(problem: string): void {
    this.send({ status: 'error', code: 'protocol_error', message: problem.slice(0, 2000) });
  }

  #sessionMs(): number {
    return this.#welcomedAt === null ? 0 : this.#deps.now() - this.#welcomedAt;
  }

  #unreachable(error: Error): ConnectionEnd {
    const { serverUrl, proxy } = this.#deps;
    const port = serverUrl.port || (serverUrl.protocol === 'wss:' ? '443' : '80');
    const fault = explainConnectionFault(error, {
      host: `${serverUrl.hostname}:${port}`,
      addressSetting: '--server-url',
      authoritySetting: '--ca-file or NODE_EXTRA_CA_CERTS',
      proxy,
    });
    return { kind: 'unreachable', detail: nameOf(error), fault };
  }

  #abandon(end: ConnectionEnd): void {
    this.#finish(end);
    this.#socket.terminate();
  }

  #finish(end: ConnectionEnd): void {
    this.#isOver = true;
    clearTimeout(this.#handshakeTimer);
    if (this.#throttle !== null) clearTimeout(this.#throttle);
    this.#heartbeat.stop();
    this.#end(end);
  }
}

function nameOf(error: Error): string {
  return codeOf(error) ?? error.message;
}

function connectUrl(serverUrl: URL): URL {
  const url = new URL(serverUrl);
  url.pathname = url.pathname.replace(/\/+$/, '') + CONNECT_PATH;
  return url;
}
