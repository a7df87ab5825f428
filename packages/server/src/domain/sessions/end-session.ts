import type { TransferContext } from '../transfer-context.ts';
import type { AgentSession } from './agent-session.ts';

/** Why an upload stands still that nobody is connected for. */
export const AGENT_AWAY = 'The agent is not connected.';

/** A connection is gone. Its uploads wait for the agent's return; transfers go on without a socket. */
export async function endSession(context: TransferContext, session: AgentSession): Promise<void> {
  context.commands.sessionEnded(session);
  const wasNewest = context.sessions.remove(session);
  await context.store.closeSession(session.clientId, session.epoch, context.clock.now());
  if (!wasNewest) return;
  for (const uploadId of await context.store.listRunningIds(session.clientId)) {
    await context.ledger.exclusively(uploadId, async () => {
      const upload = await context.ledger.get(uploadId);
      if (upload.epoch !== session.epoch) return;
      await context.ledger.apply(upload, { type: 'stall', reason: AGENT_AWAY, nextRetryAt: null });
    });
  }
}
