import type { Handler } from './handler.ts';

/** Answered by `prepared` or `failed`, once the file has been opened and its first window hashed. */
export const prepareUpload: Handler<'prepare_upload'> = (message, { transfers }) =>
  transfers.prepare(message);
