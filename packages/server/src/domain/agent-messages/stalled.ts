import type { Stalled } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { withoutSignatures } from './without-signatures.ts';

/** Agents report every few seconds; more often adds no information but costs a write and an event each time. */
const MIN_INTERVAL_MS = 1000;

/** The agent cannot store parts at the moment; the record says so until the next part is stored. */
export function stalled(context: TransferContext, session: AgentSession, message: Stalled): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    const now = context.clock.now();
    const sinceLastMs = now - upload.updatedAt;
    if (upload.stalledSince !== null && sinceLastMs >= 0 && sinceLastMs < MIN_INTERVAL_MS) return;
    await context.ledger.apply(upload, {
      type: 'stall',
      reason: withoutSignatures(message.reason),
      nextRetryAt: now + message.retry_in_ms,
    });
  });
}
