import { isTerminal } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import type { Upload } from '../uploads/upload.ts';

/**
 * Runs `task` on the upload a message is about, exclusively among the tasks of this upload, if the session owns it:
 * same client, same epoch, same attempt. Any other message is late, repeated or forged and ignored; an agent still
 * working on an ended upload is told to stop.
 */
export async function withOwnedUpload(
  context: TransferContext,
  session: AgentSession,
  message: { upload_id: string; attempt: number },
  task: (upload: Upload) => Promise<void>,
): Promise<void> {
  await context.ledger.exclusively(message.upload_id, async () => {
    const upload = await context.store.getUpload(message.upload_id);
    // The same reaction for an unknown upload and another client's, so that ids cannot be probed.
    if (upload === undefined || upload.clientId !== session.clientId) {
      context.log.warn({ clientId: session.clientId }, 'message about an upload of another client');
      return;
    }
    if (upload.attempt !== message.attempt || isTerminal(upload.status)) {
      session.send({
        action: 'cancel_upload',
        upload_id: message.upload_id,
        attempt: message.attempt,
        reason: `attempt ${message.attempt} has ended`,
      });
      return;
    }
    if (upload.epoch !== session.epoch) return;
    await task(upload);
  });
}
