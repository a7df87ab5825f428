import { closeCodes } from '@backhaul/protocol';
import type { AgentSession } from './agent-session.ts';

/**
 * The sessions on this node, except those of removed clients. The newest session of a client wins; the previous one
 * is closed.
 */
export class SessionRegistry {
  readonly #sessions = new Map<string, AgentSession>();
  readonly #welcomed = new WeakSet<AgentSession>();

  get size(): number {
    return this.#sessions.size;
  }

  /** The newest session of each client. */
  all(): Iterable<AgentSession> {
    return this.#sessions.values();
  }

  /** The session that accepts messages: an agent drops messages before its `welcome`. */
  get(clientId: string): AgentSession | undefined {
    const session = this.#sessions.get(clientId);
    return session !== undefined && this.#welcomed.has(session) ? session : undefined;
  }

  /** The newest session, even before its `welcome`. */
  newest(clientId: string): AgentSession | undefined {
    return this.#sessions.get(clientId);
  }

  /**
   * Adds the session and closes the client's previous one. @returns false if there is already a newer session of this
   * client.
   */
  add(session: AgentSession): boolean {
    const previous = this.#sessions.get(session.clientId);
    if (previous !== undefined && previous.epoch > session.epoch) return false;
    this.#sessions.set(session.clientId, session);
    previous?.close(closeCodes.replaced, 'a newer connection of this client_id took over');
    return true;
  }

  /** From now on {@link get} returns it; call it right after `welcome` was sent. */
  welcomed(session: AgentSession): void {
    this.#welcomed.add(session);
  }

  /** Unless a newer one has replaced it. */
  remove(session: AgentSession): void {
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId);
  }
}
