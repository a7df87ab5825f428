import { setTimeout as delay } from 'node:timers/promises';
import type { ProxyInUse } from '@backhaul/program';
import {
  type AgentMessageInput,
  type MessageSubject,
  PeerBudget,
  type PeerLimits,
  type ServerMessage,
} from '@backhaul/protocol';
import type { ClientCertificate, ClientCertificateSource } from '../credentials/client-certificate.ts';
import { DevServerNotRunning } from '../credentials/dev-token.ts';
import { subjectOf, type TokenSource } from '../credentials/token-source.ts';
import type { Log } from '../log.ts';
import { type ConnectionEnd, planReconnect, type ReconnectTimings } from './connection-end.ts';
import { type ConnectionTimings, ServerConnection } from './server-connection.ts';

/**
 * The interface to the server connection for the rest of the agent. `send` never queues: messages are created from
 * state, so any message lost with a connection can be sent again.
 */
export interface Link {
  /** Whether a session is open, that is, whether `welcome` has arrived on the current connection. */
  readonly connected: boolean;
  /** Whether unsent data has accumulated; progress reports are held back meanwhile. */
  readonly congested: boolean;
  /** Time of the last data from the server on the current connection, in monotonic milliseconds; null without one. */
  readonly heardAt: number | null;
  /** Pings the server, so that `heardAt` soon distinguishes a dead connection from an idle one. */
  probe(): void;
  /** @returns Whether the message was handed to an open socket; not whether it arrived. */
  send(message: AgentMessageInput): boolean;
}

export interface ServerLinkDeps {
  readonly clientId: string;
  readonly serverUrl: URL;
  readonly token: TokenSource;
  /** Reports a rejected token. @returns Whether {@link token} returns another one next time. */
  readonly tokenRefused: (token: string) => boolean;
  readonly proxy: ProxyInUse | null;
  readonly clientCertificate: ClientCertificateSource | null;
  readonly hello: () => AgentMessageInput;
  readonly onMessage: (message: ServerMessage) => void;
  readonly onInvalidMessage: (subject: MessageSubject, problem: string) => void;
  readonly connectionTimings: ConnectionTimings;
  readonly reconnectTimings: ReconnectTimings;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/** Far more than a server needs to send to an agent with 64 uploads on the fastest network. */
const SERVER_LIMITS: PeerLimits = {
  bytesPerSecond: 4 * 1024 * 1024,
  cpuMsPerSecond: 200,
  refusalsPerMinute: 120,
};

/** Keeps one connection to the server open: reconnects whenever it ends, until it is stopped. */
export class ServerLink implements Link {
  readonly #deps: ServerLinkDeps;
  #connection: ServerConnection | null = null;
  readonly #budget = new PeerBudget(SERVER_LIMITS, { cpuMs: threadCpuMs });

  constructor(deps: ServerLinkDeps) {
    this.#deps = deps;
  }

  get connected(): boolean {
    return this.#connection?.welcomed ?? false;
  }

  get congested(): boolean {
    return this.#connection?.congested ?? false;
  }

  get heardAt(): number | null {
    return this.#connection?.heardAt ?? null;
  }

  probe(): void {
    this.#connection?.probe();
  }

  send(message: AgentMessageInput): boolean {
    return this.connected && (this.#connection?.send(message) ?? false);
  }

  /** Resolves once it is aborted and the connection is closed. */
  async run({ signal }: { signal: AbortSignal }): Promise<void> {
    const { clientId, reconnectTimings: timings, random, log } = this.#deps;
    for (let failures = 0; !signal.aborted;) {
      const end = await this.#connectOnce(signal);
      if (signal.aborted) return;
      if ('sessionMs' in end && end.sessionMs >= timings.stableMs) failures = 0;
      const { waitMs, advice, level } = planReconnect(end, failures, { timings, random, clientId });
      failures += 1;
      log[level]({ detail: advice, next_try_in_ms: Math.round(waitMs) }, 'not connected');
      await delay(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async #connectOnce(signal: AbortSignal): Promise<ConnectionEnd> {
    const {
      serverUrl,
      proxy,
      hello,
      onMessage,
      onInvalidMessage,
      connectionTimings: timings,
      now,
    } = this.#deps;
    const budget = this.#budget;
    let token: string;
    let certificate: ClientCertificate | null;
    try {
      token = await this.#deps.token();
      certificate = (await this.#deps.clientCertificate?.read()) ?? null;
    } catch (error) {
      if (error instanceof DevServerNotRunning)
        return { kind: 'unreachable', detail: error.message, fault: null };
      return { kind: 'no_token', detail: error instanceof Error ? error.message : String(error) };
    }
    if (signal.aborted) return { kind: 'unreachable', detail: 'stopped', fault: null };
    this.#warnOnSubjectMismatch(token);
    const connection = new ServerConnection({
      ...{ serverUrl, token, proxy, certificate, hello, onMessage, onInvalidMessage, budget, timings, now },
    });
    this.#connection = connection;
    const close = () => void connection.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      const end = await connection.ended;
      if (end.kind !== 'refused' || end.status !== 401) return end;
      return { ...end, hasOtherToken: this.#deps.tokenRefused(token) };
    } finally {
      signal.removeEventListener('abort', close);
      this.#connection = null;
    }
  }

  /** The server identifies this machine by its token only, so a different --client-id would be misleading. */
  #warnOnSubjectMismatch(token: string): void {
    const { clientId, log } = this.#deps;
    const subject = subjectOf(token);
    if (subject === null || subject === clientId) return;
    log.warn(
      { token_for: subject, client_id: clientId },
      'the token is for another client_id; the server uses the one of the token',
    );
  }
}

/** CPU time of this thread. On a busy machine wall time passes without it, which must not count against the server. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
