import { crc32 } from 'node:zlib';
import type { BufferPool } from './buffer-pool.ts';
import { crc32Base64 } from './crc32-base64.ts';
import { type Range, readSlices } from './read-slices.ts';
import type { OpenedFile } from './open-file.ts';

interface PartBodyOptions {
  /** Base64, as announced; null where the store is known to refuse other bytes than its URL is bound to. */
  readonly expectedCrc32: string | null;
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

/**
 * The bytes of one part, slice by slice, read anew. If they are to be checked, the last slice is held back until the
 * whole part is known to match what was announced: a store that ignores checksums then gets a body that is too
 * short, never a wrong one.
 *
 * A slice is valid until the next one is asked for, by when its bytes must have been handed to the kernel.
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
