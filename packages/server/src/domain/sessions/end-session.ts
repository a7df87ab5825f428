import type { TransferContext } from '../transfer-context.ts';
import { isRunning } from '../uploads/upload.ts';
import type { AgentSession } from './agent-session.ts';

/** Stall reason of uploads whose agent is disconnected. */
export const AGENT_DISCONNECTED = 'The agent is not connected.';
const CLIENT_BLOCKED = 'The client is blocked by an operator.';

/**
 * Called when a connection has closed. Its uploads wait for the agent's return; transfers continue without a
 * connection. If it throws, call it again: it completes the rest.
 */
export async function endSession(context: TransferContext, session: AgentSession): Promise<void> {
  context.commands.sessionEnded(session);
  context.progress.sessionEnded(session);
  context.sessions.remove(session);
  await context.store.closeSession(session.clientId, session.epoch, context.clock.now());
  // The successor's hello has handled them, or is about to.
  if (context.sessions.newest(session.clientId) !== undefined) return;
  const running = await context.store.listRunningIds(session.clientId);
  if (running.length === 0) return;
  const isBlocked = (await context.store.getBlock(session.clientId)) !== undefined;
  const reason = isBlocked ? CLIENT_BLOCKED : AGENT_DISCONNECTED;
  for (const uploadId of running) {
    await context.ledger.onNewest(uploadId, async (upload) => {
      if (upload.epoch !== session.epoch || !isRunning(upload)) return;
      await context.ledger.apply(upload, { type: 'stall', reason, nextRetryAt: null });
    });
  }
}
