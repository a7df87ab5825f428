import type { Stalled } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';

/** The agent cannot store parts just now; the record says so until the next one is stored. */
export function stalled(context: TransferContext, session: AgentSession, message: Stalled): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    await context.ledger.apply(upload, {
      type: 'stall',
      reason: message.reason,
      nextRetryAt: context.clock.now() + message.retry_in_ms,
    });
  });
}
