import { closeCodes } from '@backhaul/protocol';
import type { AgentSession } from './agent-session.ts';

/**
 * The sessions that live on this node, but for those whose client was forgotten. The newest of a client wins; its elder
 * is closed.
 */
export class SessionRegistry {
  readonly #sessions = new Map<string, AgentSession>();
  readonly #welcomed = new WeakSet<AgentSession>();

  get size(): number {
    return this.#sessions.size;
  }

  /** One of each client, its newest. */
  all(): Iterable<AgentSession> {
    return this.#sessions.values();
  }

  /** The session that can be sent something: an agent drops whatever comes before its `welcome`. */
  get(clientId: string): AgentSession | undefined {
    const session = this.#sessions.get(clientId);
    return session !== undefined && this.#welcomed.has(session) ? session : undefined;
  }

  /** The newest session, even if its `welcome` is still to come. */
  newest(clientId: string): AgentSession | undefined {
    return this.#sessions.get(clientId);
  }

  /** Takes the client's place, for the newest wins. @returns false if a newer session of this client is already here. */
  add(session: AgentSession): boolean {
    const elder = this.#sessions.get(session.clientId);
    if (elder !== undefined && elder.epoch > session.epoch) return false;
    this.#sessions.set(session.clientId, session);
    elder?.close(closeCodes.replaced, 'a newer connection of this client_id took over');
    return true;
  }

  /** From now on {@link get} gives it; to be called right after `welcome` was sent. */
  welcomed(session: AgentSession): void {
    this.#welcomed.add(session);
  }

  /** Unless a newer one has taken its place. */
  remove(session: AgentSession): void {
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId);
  }
}
