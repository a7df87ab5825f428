import { open } from 'node:fs/promises';
import type { BlobPin } from './blobs.ts';
import type { PartRecord } from './part-file.ts';

/** A range given by its first byte and its length. */
export interface ByteRange {
  readonly start: number;
  readonly sizeBytes: number;
}

const READ_BYTES = 512 * 1024;

/**
 * Reads bytes of an object from its part files. Opens them one after the other, so that an object of 10,000 parts needs
 * only one file descriptor. The pin prevents the files from being removed.
 */
export async function* readObjectBytes(
  parts: readonly PartRecord[],
  range: ByteRange,
  pin: BlobPin,
): AsyncGenerator<Buffer, void, undefined> {
  let skip = range.start;
  let left = range.sizeBytes;
  for (const part of parts) {
    if (left === 0) return;
    if (skip >= part.sizeBytes) {
      skip -= part.sizeBytes;
      continue;
    }
    const count = Math.min(part.sizeBytes - skip, left);
    yield* readFileBytes(pin.partPath(part.number), { start: skip, sizeBytes: count });
    left -= count;
    skip = 0;
  }
}

async function* readFileBytes(path: string, range: ByteRange): AsyncGenerator<Buffer, void, undefined> {
  const file = await open(path, 'r');
  try {
    let position = range.start;
    const end = range.start + range.sizeBytes;
    while (position < end) {
      // A new buffer each time: the socket may still use the previous one.
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw new Error(`${path} is shorter than the manifest of its object says.`);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}
