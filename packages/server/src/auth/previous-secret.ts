import type { Finding } from '@backhaul/protocol';
import type { Log } from '../domain/ports/log.ts';
import type { AgentSession, SessionRegistry } from '../domain/agents/session.ts';

/** Maximum number of names in a log line or finding. */
const MAX_NAMES = 10;
/** Maximum number of operators' subjects to remember. */
const MAX_SUBJECTS = 1000;

/** The token that the agent of a session connects with next. */
export type TokenOf = (session: AgentSession) => { readonly isOfPreviousSecret: boolean };

interface PreviousSecretDeps {
  readonly sessions: Pick<SessionRegistry, 'all'>;
  readonly log: Pick<Log, 'info'>;
  /** Whether there is such a secret. */
  readonly isSet: boolean;
  readonly tokenOf: TokenOf;
}

/** Tracks who still uses tokens of `JWT_SECRET_PREVIOUS`: once there is no one, it can be unset. */
export class PreviousSecret {
  readonly #deps: PreviousSecretDeps;
  readonly #operators = new Set<string>();

  constructor(deps: PreviousSecretDeps) {
    this.#deps = deps;
  }

  /** An operator's token of that secret was accepted. */
  usedByOperator(subject: string): void {
    if (this.#operators.size < MAX_SUBJECTS) this.#operators.add(subject);
  }

  /** Connected agents that use one. */
  get agents(): string[] {
    if (!this.#deps.isSet) return [];
    const found: string[] = [];
    for (const session of this.#deps.sessions.all())
      if (this.#deps.tokenOf(session).isOfPreviousSecret) found.push(session.clientId);
    return found;
  }

  /** Called periodically for the log. */
  report(): void {
    if (!this.#deps.isSet) return;
    const { agents } = this;
    this.#deps.log.info(
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
    if (!this.#deps.isSet) return [];
    const { agents } = this;
    const isUnused = agents.length === 0 && this.#operators.size === 0;
    const ofAgents = `${agents.length} connected agents use tokens of JWT_SECRET_PREVIOUS${named(agents)}.`;
    const ofOperators = `Operators that used one since the server’s start: ${this.#operators.size}${named([...this.#operators])}.`;
    return [
      {
        name: 'previous_secret',
        level: isUnused ? 'info' : 'warning',
        detail: `${ofAgents} ${ofOperators}`,
        fix: isUnused
          ? 'Disconnected agents are not counted: compare with "backhaul clients --away", then unset JWT_SECRET_PREVIOUS.'
          : 'Give them tokens signed with JWT_SECRET: backhaul token agent, backhaul token operator.',
      },
    ];
  }
}

function named(names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length > MAX_NAMES ? ', …' : '';
  return ` (${names.slice(0, MAX_NAMES).join(', ')}${more})`;
}
