import type { PartUploaded } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { reportedParts } from './reported-parts.ts';

/** S3 has acknowledged parts: stores their ETags and updates the progress. */
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
    // The message may have been sent before the session ended or its client was deleted, and processed only now.
    const isAgentDisconnected = context.sessions.newest(session.clientId) !== session;
    const unchanged =
      totals.partsCompleted === upload.partsCompleted &&
      (upload.stalledSince === null || isAgentDisconnected) &&
      upload.partRetries === message.retries;
    if (unchanged) return;
    await context.ledger.apply(upload, {
      type: 'progress',
      totals,
      partRetries: message.retries,
      isAgentDisconnected,
    });
  });
}
