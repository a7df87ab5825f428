import type { Handler } from './handler.ts';

/** Opens the file and hashes its first window; then sends `prepared` or `failed`. */
export const prepareUpload: Handler<'prepare_upload'> = (message, { transfers }) =>
  transfers.prepare(message);
