import type { Completed } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { requestedNameProblem } from './requested-name.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { reportedParts } from './reported-parts.ts';

/** All parts are sent. `completing` is stored durably before S3 is called; {@link Completion} does the rest. */
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
      await context.ending.endLocked(upload, { type: 'fail', error: 'protocol_error', message: problem });
      return;
    }
    const totals = await context.store.recordUploadedParts(
      upload.uploadId,
      reportedParts(upload, message.parts),
    );
    // The single part of an empty file has no bytes; if the server writes the object, no part is sent.
    const isEmpty = upload.sizeBytes === 0;
    const completing = await context.ledger.apply(upload, {
      type: 'parts_sent',
      totals: isEmpty ? { partsCompleted: upload.partCount ?? 1, bytesUploaded: 0 } : totals,
      sha256: message.sha256,
      uploadDurationMs: message.upload_duration_ms,
    });
    if (completing === undefined) return;
    context.completion.start(upload.uploadId);
    context.dispatcher.schedule(upload.clientId);
  });
}
