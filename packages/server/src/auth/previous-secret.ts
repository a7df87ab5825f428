import type { Finding } from '@backhaul/protocol';
import type { Log } from '../domain/ports/log.ts';
import type { AgentSession } from '../domain/sessions/agent-session.ts';
import type { SessionRegistry } from '../domain/sessions/session-registry.ts';

/** Names in one line or finding. */
const MAX_NAMES = 10;
/** Operators' subjects that are remembered. */
const MAX_SUBJECTS = 1000;

type TokenOf = (session: AgentSession) => { readonly isOfPreviousSecret: boolean };

/** Who still uses tokens of `JWT_SECRET_PREVIOUS`: once that is no one, it can be unset. */
export class PreviousSecret {
  readonly #sessions: Pick<SessionRegistry, 'all'>;
  readonly #log: Pick<Log, 'info'>;
  readonly #isSet: boolean;
  readonly #tokenOf: TokenOf;
  readonly #operators = new Set<string>();

  constructor(parts: {
    readonly sessions: Pick<SessionRegistry, 'all'>;
    readonly log: Pick<Log, 'info'>;
    /** Whether there is such a secret. */
    readonly isSet: boolean;
    /** The token that the agent of a session connects with next. */
    readonly tokenOf: TokenOf;
  }) {
    this.#sessions = parts.sessions;
    this.#log = parts.log;
    this.#isSet = parts.isSet;
    this.#tokenOf = parts.tokenOf;
  }

  /** An operator's token of that secret was accepted. */
  usedByOperator(subject: string): void {
    if (this.#operators.size < MAX_SUBJECTS) this.#operators.add(subject);
  }

  /** Connected agents that use one. */
  get agents(): string[] {
    if (!this.#isSet) return [];
    const found: string[] = [];
    for (const session of this.#sessions.all())
      if (this.#tokenOf(session).isOfPreviousSecret) found.push(session.clientId);
    return found;
  }

  /** For the log, now and then. */
  report(): void {
    if (!this.#isSet) return;
    const { agents } = this;
    this.#log.info(
      {
        agents: agents.length,
        someAgents: agents.slice(0, MAX_NAMES),
        someOperators: [...this.#operators].slice(0, MAX_NAMES),
      },
      'agents connected with tokens of JWT_SECRET_PREVIOUS',
    );
  }

  /** For `backhaul doctor`. */
  findings(): Finding[] {
    if (!this.#isSet) return [];
    const { agents } = this;
    const isUnused = agents.length === 0 && this.#operators.size === 0;
    const ofAgents = `${agents.length} connected agents use tokens of JWT_SECRET_PREVIOUS${named(agents)}.`;
    const ofOperators = `Operators who did since the server’s start: ${this.#operators.size}${named([...this.#operators])}.`;
    return [
      {
        name: 'previous_secret',
        level: isUnused ? 'info' : 'warning',
        detail: `${ofAgents} ${ofOperators}`,
        fix: isUnused
          ? 'Agents that are away are not counted: compare with "backhaul clients --away", then unset JWT_SECRET_PREVIOUS.'
          : 'Give them tokens that are signed with JWT_SECRET: backhaul token agent, backhaul token operator.',
      },
    ];
  }
}

function named(names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length > MAX_NAMES ? ', …' : '';
  return ` (${names.slice(0, MAX_NAMES).join(', ')}${more})`;
}
