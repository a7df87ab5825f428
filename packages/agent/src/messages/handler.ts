import type { HealthReport, ServerMessage } from '@backhaul/protocol';
import type { Link } from '../connection/link.ts';
import type { RenewableToken } from '../credentials/renewable-token.ts';
import type { OpenDeps } from '../file/open-file.ts';
import type { Log } from '../log.ts';
import type { Transfers } from '../transfer/transfers.ts';

/** Dependencies of the message handlers. None of them lets a message change the owner's policy. */
export interface HandlerDeps {
  readonly link: Link;
  readonly transfers: Transfers;
  readonly open: OpenDeps;
  /** Null without a state directory for a renewed token. */
  readonly tokens: Pick<RenewableToken, 'store' | 'welcomed'> | null;
  readonly health: () => HealthReport;
  readonly log: Log;
  /** Aborted when the agent stops. */
  readonly signal: AbortSignal;
}

export type MessageOf<Action extends ServerMessage['action']> = Extract<ServerMessage, { action: Action }>;

/** Handles one kind of message. Must be idempotent. */
export type Handler<Action extends ServerMessage['action']> = (
  message: MessageOf<Action>,
  deps: HandlerDeps,
) => void | Promise<void>;
