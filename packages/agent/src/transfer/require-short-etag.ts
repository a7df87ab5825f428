import { BackhaulError, MAX_FRAME_BYTES } from '@backhaul/protocol';

/** Bytes per part in `completed` besides the ETag: `{"part_number":10000,"etag":},`, with a margin. */
const BYTES_PER_PART = 40;

/**
 * Checks at the first part that all ETags will fit into one `completed` frame.
 *
 * @throws BackhaulError `storage_refused` if `partCount` ETags of this length do not fit.
 */
export function requireShortEtag(etag: string, partCount: number): void {
  if (partCount * (Buffer.byteLength(JSON.stringify(etag)) + BYTES_PER_PART) <= MAX_FRAME_BYTES) return;
  throw new BackhaulError(
    'storage_refused',
    `The store's ETags have ${etag.length} characters; ${partCount} of them do not fit into one message. Use larger parts.`,
  );
}
