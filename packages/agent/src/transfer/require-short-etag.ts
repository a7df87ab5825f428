import { BackhaulError, MAX_FRAME_BYTES } from '@backhaul/protocol';

/** Around an ETag in `completed`: `{"part_number":10000,"etag":},`, and some to spare. Bytes. */
const BYTES_PER_PART = 40;

/**
 * `completed` names every part's ETag in one frame: better to know at the first part than after the last one.
 *
 * @throws BackhaulError `storage_refused` if as many ETags of this length do not fit.
 */
export function requireShortEtag(etag: string, partCount: number): void {
  if (partCount * (Buffer.byteLength(JSON.stringify(etag)) + BYTES_PER_PART) <= MAX_FRAME_BYTES) return;
  throw new BackhaulError(
    'storage_refused',
    `The store's ETags have ${etag.length} characters; those of ${partCount} parts do not fit into one message. Larger parts make fewer of them.`,
  );
}
