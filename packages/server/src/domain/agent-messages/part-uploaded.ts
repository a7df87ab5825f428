import type { PartUploaded } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { reportedParts } from './reported-parts.ts';

/** S3 has acknowledged parts: their ETags are kept, and the record shows the progress. */
export function partUploaded(
  context: TransferContext,
  session: AgentSession,
  message: PartUploaded,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    const reported = reportedParts(upload, message.parts);
    if (reported.length === 0) return;
    const totals = await context.store.recordUploadedParts(upload.uploadId, reported);
    // It may have been said before the session's end, or its client's being forgotten, and only now have had its turn.
    const isAgentAway = context.sessions.newest(session.clientId) !== session;
    const unchanged =
      totals.partsCompleted === upload.partsCompleted &&
      (upload.stalledSince === null || isAgentAway) &&
      upload.partRetries === message.retries;
    if (unchanged) return;
    await context.ledger.apply(upload, {
      type: 'progress',
      totals,
      partRetries: message.retries,
      isAgentAway,
    });
  });
}
