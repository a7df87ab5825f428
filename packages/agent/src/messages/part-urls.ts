import type { Handler } from './handler.ts';

/** URLs that `parts_ready` asked for. Of an upload that has ended since, they are not wanted any more. */
export const partUrls: Handler<'part_urls'> = (message, { transfers }) => transfers.addUrls(message);
