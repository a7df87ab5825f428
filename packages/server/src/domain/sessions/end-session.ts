import type { TransferContext } from '../transfer-context.ts';
import { isRunning } from '../uploads/upload.ts';
import type { AgentSession } from './agent-session.ts';

/** Why an upload stands still that nobody is connected for. */
export const AGENT_AWAY = 'The agent is not connected.';
const CLIENT_BLOCKED = 'The client is blocked by an operator.';

/**
 * A connection is gone. Its uploads wait for the agent's return; transfers go on without a socket. To be called again
 * if it throws: it leaves nothing half-done that it would not do then.
 */
export async function endSession(context: TransferContext, session: AgentSession): Promise<void> {
  context.commands.sessionEnded(session);
  context.progress.sessionEnded(session);
  context.sessions.remove(session);
  await context.store.closeSession(session.clientId, session.epoch, context.clock.now());
  // The successor's hello has settled them, or is about to.
  if (context.sessions.newest(session.clientId) !== undefined) return;
  const running = await context.store.listRunningIds(session.clientId);
  if (running.length === 0) return;
  const isBlocked = (await context.store.getBlock(session.clientId)) !== undefined;
  const reason = isBlocked ? CLIENT_BLOCKED : AGENT_AWAY;
  for (const uploadId of running) {
    await context.ledger.onNewest(uploadId, async (upload) => {
      if (upload.epoch !== session.epoch || !isRunning(upload)) return;
      await context.ledger.apply(upload, { type: 'stall', reason, nextRetryAt: null });
    });
  }
}
