import type { Handler } from './handler.ts';

/** URLs requested with `parts_ready`; ignored if the upload has ended since. */
export const partUrls: Handler<'part_urls'> = (message, { transfers }) => transfers.addUrls(message);
