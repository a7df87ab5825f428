import { type Resumed, resumeDifferences } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { type Upload, isRunning } from '../uploads/upload.ts';
import { withOwnedUpload } from './owned-upload.ts';

/** A new agent process continues an earlier attempt; it requests URLs as it finds missing parts. */
export function resumed(context: TransferContext, session: AgentSession, message: Resumed): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (!isRunning(upload)) return;
    if (upload.s3UploadId === null) {
      await context.recovery.handleFailure(upload, {
        error: 'protocol_error',
        message: 'The agent was asked to prepare the upload but resumed it.',
      });
      return;
    }
    if (!isSameVersion(upload, message)) {
      await context.recovery.handleFailure(upload, {
        error: 'file_changed',
        message: `${JSON.stringify(upload.filePath)} changed while the upload was interrupted.`,
      });
      return;
    }
    await context.ledger.apply(upload, { type: 'resumed' });
  });
}

function isSameVersion({ sizeBytes, fingerprint, onChange }: Upload, message: Resumed): boolean {
  return (
    message.size === sizeBytes &&
    fingerprint !== null &&
    resumeDifferences(fingerprint, message.fingerprint, onChange).length === 0
  );
}
