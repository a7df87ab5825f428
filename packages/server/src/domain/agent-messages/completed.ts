import type { Completed } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import type { Upload } from '../uploads/upload.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { reportedParts } from './reported-parts.ts';

/** All parts are sent. `completing` becomes durable before S3 is asked; the rest is {@link Completion}'s. */
export function completed(
  context: TransferContext,
  session: AgentSession,
  message: Completed,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (owned) => {
    const upload = await begun(context, owned, message);
    if (upload?.status !== 'uploading') return;
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

/**
 * Of an attempt whose `resumed` was lost with its socket. Where S3 held every part, the agent has had nothing to ask
 * for since, and this is the next that is heard of it.
 */
async function begun(
  context: TransferContext,
  upload: Upload,
  message: Completed,
): Promise<Upload | undefined> {
  if (upload.status !== 'preparing' || message.resumed !== true) return upload;
  return context.ledger.apply(upload, { type: 'resumed' });
}
