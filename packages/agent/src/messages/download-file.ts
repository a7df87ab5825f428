import type { Handler } from './handler.ts';

/** Starts a prepared upload. It sends `part_uploaded` messages, then `completed` or `failed`. */
export const downloadFile: Handler<'download_file'> = (message, { transfers }) => transfers.download(message);
