import type { Handler } from './handler.ts';

/** Starts a prepared upload; answered by `part_uploaded` …, then `completed` or `failed`. */
export const downloadFile: Handler<'download_file'> = (message, { transfers }) => transfers.download(message);
