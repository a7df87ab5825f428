import type { AgentMessageInput } from '@backhaul/protocol';

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
