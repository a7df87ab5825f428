import type { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { AgentMessageInput, ServerMessage } from '@backhaul/protocol';
import { DevServerAway } from '../credentials/dev-token.ts';
import { subjectOf, type TokenSource } from '../credentials/token-source.ts';
import type { Log } from '../log.ts';
import type { Link } from './link.ts';
import { Session, type SessionTimings } from './session.ts';
import { planReconnect, type ReconnectTimings, type SessionEnd } from './session-end.ts';

export interface ConnectionOptions {
  readonly clientId: string;
  readonly serverUrl: URL;
  readonly token: TokenSource;
  readonly agent: Agent | null;
  readonly hello: () => AgentMessageInput;
  readonly receive: (message: ServerMessage) => void;
  readonly sessionTimings: SessionTimings;
  readonly reconnectTimings: ReconnectTimings;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/** Keeps one session open, for as long as it runs: each end is followed by the next try. */
export class Connection implements Link {
  readonly #options: ConnectionOptions;
  #session: Session | null = null;

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
    const { reconnectTimings: timings, random, log } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      const end = await this.#oneSession(signal);
      if (signal.aborted) return;
      if ('heldMs' in end && end.heldMs >= timings.steadyMs) failures = 0;
      const { waitMs, advice, level } = planReconnect(end, failures, { timings, random });
      failures += 1;
      log[level]({ next_try_in_ms: Math.round(waitMs) }, advice);
      await delay(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async #oneSession(signal: AbortSignal): Promise<SessionEnd> {
    const { serverUrl, agent, hello, receive, sessionTimings: timings, now } = this.#options;
    let token: string;
    try {
      token = await this.#options.token();
    } catch (error) {
      if (error instanceof DevServerAway) return { kind: 'unreachable', detail: error.message };
      return { kind: 'no_token', detail: error instanceof Error ? error.message : String(error) };
    }
    if (signal.aborted) return { kind: 'unreachable', detail: 'stopped' };
    this.#warnOfOtherSubject(token);
    const session = new Session({ serverUrl, token, agent, hello, receive, timings, now });
    this.#session = session;
    const goodbye = () => void session.close();
    signal.addEventListener('abort', goodbye, { once: true });
    try {
      return await session.ended;
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
