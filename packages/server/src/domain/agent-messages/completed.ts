import type { Completed } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { reportedParts } from './reported-parts.ts';

/** All parts are sent. `completing` becomes durable before S3 is asked; the rest is {@link Completion}'s. */
export function completed(
  context: TransferContext,
  session: AgentSession,
  message: Completed,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    if (message.size !== upload.sizeBytes) {
      await context.ending.endHeld(upload, {
        type: 'fail',
        error: 'protocol_error',
        message: `The agent sent ${message.size} bytes of a file that had ${upload.sizeBytes}.`,
      });
      return;
    }
    const totals = await context.store.recordUploadedParts(
      upload.uploadId,
      reportedParts(upload, message.parts),
    );
    const completing = await context.ledger.apply(upload, {
      type: 'parts_sent',
      totals,
      sha256: message.sha256,
      uploadDurationMs: message.upload_duration_ms,
    });
    if (completing === undefined) return;
    context.completion.start(upload.uploadId);
    context.dispatcher.kick(upload.clientId);
  });
}
