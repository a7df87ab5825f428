import { BackhaulError, type PartsReady, planParts } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { planRule } from '../upload-settings.ts';
import type { Upload } from '../uploads/upload.ts';
import { checkAnnouncement, recordParts } from './announcement.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { signWindow } from './sign-window.ts';

/** The agent requests URLs: for its next window, or again for parts whose URLs expired. */
export function partsReady(
  context: TransferContext,
  session: AgentSession,
  message: PartsReady,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading' || upload.sizeBytes === null || upload.checksumMode === null) return;
    // No part is sent of an empty file that the server writes.
    if (upload.s3UploadId === null) return;
    try {
      const plan = planParts(upload.sizeBytes, planRule);
      const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
      await recordParts(context, upload, announced);
    } catch (error) {
      if (!(error instanceof BackhaulError)) throw error;
      await context.recovery.handleFailure(upload, { error: error.code, message: error.message });
      return;
    }
    await sendUrls(context, session, upload, message);
  });
}

async function sendUrls(
  context: TransferContext,
  session: AgentSession,
  upload: Upload,
  message: PartsReady,
): Promise<void> {
  session.send({
    action: 'part_urls',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    ...(await signWindow(context, upload, message.parts)),
  });
}
