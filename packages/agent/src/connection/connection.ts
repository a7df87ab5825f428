import { setTimeout as delay } from 'node:timers/promises';
import type { ProxyInUse } from '@backhaul/program';
import {
  type AgentMessageInput,
  type MessageSubject,
  PeerBudget,
  type PeerLimits,
  type ServerMessage,
} from '@backhaul/protocol';
import { DevServerAway } from '../credentials/dev-token.ts';
import { subjectOf, type TokenSource } from '../credentials/token-source.ts';
import type { Log } from '../log.ts';
import type { ClientCertificate, ClientCertificateSource } from './client-certificate.ts';
import type { Link } from './link.ts';
import { Session, type SessionTimings } from './session.ts';
import { planReconnect, type ReconnectTimings, type SessionEnd } from './session-end.ts';

export interface ConnectionOptions {
  readonly clientId: string;
  readonly serverUrl: URL;
  readonly token: TokenSource;
  /** The server does not take this token. @returns whether {@link token} gives another one next time. */
  readonly tokenRefused: (token: string) => boolean;
  readonly proxy: ProxyInUse | null;
  readonly clientCertificate: ClientCertificateSource | null;
  readonly hello: () => AgentMessageInput;
  readonly receive: (message: ServerMessage) => void;
  readonly refuse: (subject: MessageSubject, problem: string) => void;
  readonly sessionTimings: SessionTimings;
  readonly reconnectTimings: ReconnectTimings;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/** Far more than a server has to say to an agent with 64 uploads on the fastest line. */
const SERVER_LIMITS: PeerLimits = {
  bytesPerSecond: 4 * 1024 * 1024,
  cpuMsPerSecond: 200,
  refusalsPerMinute: 120,
};

/** Keeps one session open, for as long as it runs: each end is followed by the next try. */
export class Connection implements Link {
  readonly #options: ConnectionOptions;
  #session: Session | null = null;
  readonly #budget = new PeerBudget(SERVER_LIMITS, { cpuMs: threadCpuMs });

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#session?.welcomed ?? false;
  }

  get congested(): boolean {
    return this.#session?.congested ?? false;
  }

  get heardAt(): number | null {
    return this.#session?.heardAt ?? null;
  }

  probe(): void {
    this.#session?.probe();
  }

  send(message: AgentMessageInput): boolean {
    return this.connected && (this.#session?.send(message) ?? false);
  }

  /** Resolves once aborted, its socket closed. */
  async run({ signal }: { signal: AbortSignal }): Promise<void> {
    const { clientId, reconnectTimings: timings, random, log } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      const end = await this.#oneSession(signal);
      if (signal.aborted) return;
      if ('heldMs' in end && end.heldMs >= timings.steadyMs) failures = 0;
      const { waitMs, advice, level } = planReconnect(end, failures, { timings, random, clientId });
      failures += 1;
      log[level]({ detail: advice, next_try_in_ms: Math.round(waitMs) }, 'not connected');
      await delay(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async #oneSession(signal: AbortSignal): Promise<SessionEnd> {
    const { serverUrl, proxy, hello, receive, refuse, sessionTimings: timings, now } = this.#options;
    const budget = this.#budget;
    let token: string;
    let certificate: ClientCertificate | null;
    try {
      token = await this.#options.token();
      certificate = (await this.#options.clientCertificate?.read()) ?? null;
    } catch (error) {
      if (error instanceof DevServerAway) return { kind: 'unreachable', detail: error.message, fault: null };
      return { kind: 'no_token', detail: error instanceof Error ? error.message : String(error) };
    }
    if (signal.aborted) return { kind: 'unreachable', detail: 'stopped', fault: null };
    this.#warnOfOtherSubject(token);
    const session = new Session({
      ...{ serverUrl, token, proxy, certificate, hello, receive, refuse, budget, timings, now },
    });
    this.#session = session;
    const goodbye = () => void session.close();
    signal.addEventListener('abort', goodbye, { once: true });
    try {
      const end = await session.ended;
      if (end.kind !== 'refused' || end.status !== 401) return end;
      return { ...end, hasOtherToken: this.#options.tokenRefused(token) };
    } finally {
      signal.removeEventListener('abort', goodbye);
      this.#session = null;
    }
  }

  /** The server knows this machine by its token alone, so a --client-id that differs would mislead its owner. */
  #warnOfOtherSubject(token: string): void {
    const { clientId, log } = this.#options;
    const subject = subjectOf(token);
    if (subject === null || subject === clientId) return;
    log.warn(
      { token_for: subject, client_id: clientId },
      'the token is for another client_id, which the server will use',
    );
  }
}

/** On a busy machine time passes in which this thread does not run; the server is not charged for that. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
