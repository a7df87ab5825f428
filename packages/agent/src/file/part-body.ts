import { crc32 } from 'node:zlib';
import type { BufferPool } from './buffer-pool.ts';
import { crc32Base64 } from './crc32-base64.ts';
import { type Range, readSlices } from './read-slices.ts';
import type { OpenedFile } from './open-file.ts';

interface PartBodyOptions {
  /** Announced CRC-32 in base64; null if the store is known to refuse bytes other than those that the URL is bound to. */
  readonly expectedCrc32: string | null;
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

/**
 * Reads one part slice by slice for sending. If a CRC-32 is expected, the last slice is held back until the whole part
 * matches it: a store that ignores checksums then receives a body that is too short, never a wrong one.
 *
 * A slice is valid until the next one is requested; by then its bytes must have been handed to the kernel.
 *
 * @throws BackhaulError `file_changed`
 */
export async function* partBody(
  file: OpenedFile,
  range: Range,
  { expectedCrc32, buffers, signal }: PartBodyOptions,
): AsyncGenerator<Buffer, void, void> {
  let crc = 0;
  let done = 0;
  for await (const slice of readSlices(file, range, { buffers, signal })) {
    done += slice.length;
    if (expectedCrc32 !== null) {
      crc = crc32(slice, crc);
      if (done === range.length && crc32Base64(crc) !== expectedCrc32) throw file.contentChanged();
    }
    yield slice;
  }
}
