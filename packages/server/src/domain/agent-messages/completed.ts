import type { Completed } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { requestedNameProblem } from './requested-name.ts';
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
    const problem =
      requestedNameProblem(upload, message.file_name) ??
      (message.size === upload.sizeBytes
        ? undefined
        : `The agent sent ${message.size} bytes of a file that had ${upload.sizeBytes}.`);
    if (problem !== undefined) {
      await context.ending.endHeld(upload, { type: 'fail', error: 'protocol_error', message: problem });
      return;
    }
    const totals = await context.store.recordUploadedParts(
      upload.uploadId,
      reportedParts(upload, message.parts),
    );
    // Its one part has no bytes, and nothing is sent of it where the server writes the object.
    const isEmpty = upload.sizeBytes === 0;
    const completing = await context.ledger.apply(upload, {
      type: 'parts_sent',
      totals: isEmpty ? { partsCompleted: upload.partCount ?? 1, bytesUploaded: 0 } : totals,
      sha256: message.sha256,
      uploadDurationMs: message.upload_duration_ms,
    });
    if (completing === undefined) return;
    context.completion.start(upload.uploadId);
    context.dispatcher.kick(upload.clientId);
  });
}
