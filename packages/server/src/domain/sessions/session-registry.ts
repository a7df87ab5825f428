import { closeCodes } from '@backhaul/protocol';
import type { AgentSession } from './agent-session.ts';

/** The sessions that live on this node. The newest of a client wins; its elder is closed. */
export class SessionRegistry {
  readonly #sessions = new Map<string, AgentSession>();

  get size(): number {
    return this.#sessions.size;
  }

  get(clientId: string): AgentSession | undefined {
    return this.#sessions.get(clientId);
  }

  /** @returns false if a newer session of this client is already here. */
  add(session: AgentSession): boolean {
    const elder = this.#sessions.get(session.clientId);
    if (elder !== undefined && elder.epoch > session.epoch) return false;
    this.#sessions.set(session.clientId, session);
    elder?.close(closeCodes.replaced, 'a newer connection of this client_id took over');
    return true;
  }

  /** @returns whether it was still the client's session here. */
  remove(session: AgentSession): boolean {
    if (this.#sessions.get(session.clientId) !== session) return false;
    return this.#sessions.delete(session.clientId);
  }
}
