import type { ServerMessageInput } from '@backhaul/protocol';

/** The token that an agent has connected with. Times are milliseconds since the epoch. */
export interface SessionToken {
  /** Names it, and does not show it. */
  readonly id: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Whether it was signed with `JWT_SECRET_PREVIOUS`. */
  readonly isOfPreviousSecret: boolean;
  /** All that it claims but its id and times. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** One live connection of an agent, after `hello`. */
export interface AgentSession {
  readonly clientId: string;
  readonly sessionId: string;
  /** Only the newest epoch of a client moves its uploads. */
  readonly epoch: number;
  readonly token: SessionToken;
  /** Machine and boot; null if the agent does not tell. */
  readonly hostId: string | null;
  readonly maxUploads: number;
  /** Whether it can go on with an attempt of an earlier process. */
  readonly canResume: boolean;
  /** Whether it leaves the object of an empty file to the server, rather than to send an empty part. */
  readonly leavesEmpty: boolean;
  /** Whether it keeps to limits that come with an upload. */
  readonly takesLimits: boolean;
  /** Whether it lists directories page by page, and by prefix. */
  readonly listsPages: boolean;
  /** Whether it can keep a renewed token. */
  readonly keepsTokens: boolean;
  /** Best effort: a frame that is lost is settled when the agent connects again. */
  send(message: ServerMessageInput): void;
  /** @param code One of the protocol's close codes. */
  close(code: number, reason: string): void;
}
