import { BackhaulError, type PartsReady, planParts } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { planRule } from '../upload-settings.ts';
import type { Upload } from '../uploads/upload.ts';
import { checkAnnouncement, putOnRecord } from './announcement.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { signWindow } from './sign-window.ts';

/** The agent wants URLs: of its next window, or once more for parts whose URLs expired. */
export function partsReady(
  context: TransferContext,
  session: AgentSession,
  message: PartsReady,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading' || upload.sizeBytes === null || upload.checksumMode === null) return;
    // Of an empty file that was left to the server no part is sent.
    if (upload.s3UploadId === null) return;
    try {
      const plan = planParts(upload.sizeBytes, planRule);
      const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
      await putOnRecord(context, upload, announced);
    } catch (error) {
      if (!(error instanceof BackhaulError)) throw error;
      await context.recovery.settle(upload, { error: error.code, message: error.message });
      return;
    }
    await answer(context, session, upload, message);
  });
}

async function answer(
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
