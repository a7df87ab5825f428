import type { Result } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';

/** Result of a command that an operator ran. */
export function result(context: TransferContext, session: AgentSession, message: Result): void {
  context.commands.complete(session, message);
}
