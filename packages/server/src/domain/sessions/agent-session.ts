import type { ServerMessageInput } from '@backhaul/protocol';

/** One live connection of an agent, after `hello`. */
export interface AgentSession {
  readonly clientId: string;
  readonly sessionId: string;
  /** Only the newest epoch of a client moves its uploads. */
  readonly epoch: number;
  readonly maxUploads: number;
  /** Whether it can go on with an attempt of an earlier process. */
  readonly canResume: boolean;
  /** Best effort: a frame that is lost is settled when the agent connects again. */
  send(message: ServerMessageInput): void;
  /** @param code One of the protocol's close codes. */
  close(code: number, reason: string): void;
}
