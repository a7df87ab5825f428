import type { Handler } from './handler.ts';

/** Stops the upload and sends no further messages about it. */
export const cancelUpload: Handler<'cancel_upload'> = async (message, { transfers, log }) => {
  const { upload_id, attempt, reason } = message;
  log.info({ upload_id, attempt, reason }, 'upload cancelled by the server');
  await transfers.cancel(message);
};
