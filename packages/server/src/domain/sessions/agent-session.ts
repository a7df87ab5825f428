import type { ServerMessageInput } from '@backhaul/protocol';

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
  /** Whether it can resume an attempt of an earlier process. */
  readonly canResume: boolean;
  /** Whether it leaves the object of an empty file to the server instead of sending an empty part. */
  readonly leavesEmpty: boolean;
  /** Whether it supports limits per upload. */
  readonly takesLimits: boolean;
  /** Whether it lists directories by page and prefix. */
  readonly listsPages: boolean;
  /** Whether it can store a renewed token. */
  readonly keepsTokens: boolean;
  /** Best effort: a lost frame is made up for when the agent reconnects. */
  send(message: ServerMessageInput): void;
  /** @param code One of the protocol's close codes. */
  close(code: number, reason: string): void;
}
