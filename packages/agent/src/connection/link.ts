import type { AgentMessageInput } from '@backhaul/protocol';

/**
 * What the rest of the agent knows of its connection. Messages are produced from state, so that whatever a lost
 * socket swallowed can be said again: `send` never queues.
 */
export interface Link {
  /** Whether the server has welcomed this agent on the present socket. */
  readonly connected: boolean;
  /** Whether the socket takes data slower than it is given; progress reports wait meanwhile. */
  readonly congested: boolean;
  /** When anything last came from the server on the present socket; monotonic, milliseconds. Null without one. */
  readonly heardAt: number | null;
  /** Makes a living server say something, so that `heardAt` soon tells a dead line from a quiet one. */
  probe(): void;
  /** @returns Whether the message was handed to a live socket; not whether it arrived. */
  send(message: AgentMessageInput): boolean;
}
