import { closeCodes, type ServerMessageInput } from '@backhaul/protocol';

/** The token of an agent's connection. Times are milliseconds since the epoch. */
export interface SessionToken {
  /** Identifies the token without revealing it. */
  readonly id: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Whether it was signed with `JWT_SECRET_PREVIOUS`. */
  readonly isOfPreviousSecret: boolean;
  /** All claims except its id and times. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Stall reason of uploads whose agent is disconnected. */
export const AGENT_DISCONNECTED = 'The agent is not connected.';

/** An agent's accepted `hello`, on a live connection. */
export interface AgentSession {
  readonly clientId: string;
  readonly sessionId: string;
  /** Only the newest epoch of a client advances its uploads. */
  readonly epoch: number;
  readonly token: SessionToken;
  /** Machine and boot; null if the agent does not report them. */
  readonly hostId: string | null;
  readonly maxUploads: number;
  readonly agentVersion: string;
  /** The capabilities of its `hello`, including the names of the commands that it supports. */
  readonly capabilities: ReadonlySet<string>;
  /** Best effort: a lost frame is made up for when the agent reconnects. */
  send(message: ServerMessageInput): void;
  /** @param code One of the protocol's close codes. */
  close(code: number, reason: string): void;
}

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
