import { open } from 'node:fs/promises';
import type { BlobPin } from './blobs.ts';
import type { PartRecord } from './part-file.ts';

/** First byte and count. */
export interface ByteRange {
  readonly start: number;
  readonly sizeBytes: number;
}

const READ_BYTES = 512 * 1024;

/**
 * Bytes of an object, across its part files, opened one after the other: an object of 10,000 parts takes one
 * descriptor at a time. The pin keeps the files from being removed meanwhile.
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
      // Fresh each time: the socket may still hold the one before.
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw new Error(`${path} is shorter than its object says.`);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}
