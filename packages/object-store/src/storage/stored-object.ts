import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { ObjectChecksum } from '../checksum/object-checksum.ts';
import type { BlobPin } from './blobs.ts';
import type { PartRecord } from './part-file.ts';

/** Properties of an object given by the client. */
export interface ObjectProperties {
  /** `content-type` and similar headers, in lower case, one byte per character as received. */
  readonly contentHeaders: Readonly<Record<string, string>>;
  /** Metadata by name without the `x-amz-meta-` prefix. */
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

/** One object, with the part files that hold its bytes, in order. */
export interface ObjectManifest extends ObjectProperties {
  readonly key: string;
  /** Name of the blob with the part files. */
  readonly blob: string;
  readonly sizeBytes: number;
  /** ETag without quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly multipart: boolean;
  readonly checksum: ObjectChecksum | undefined;
  readonly parts: readonly PartRecord[];
}

/** Fields needed by listings and preconditions, kept in memory for each object. */
export type ObjectSummary = Pick<
  ObjectManifest,
  'blob' | 'sizeBytes' | 'etag' | 'lastModifiedMs' | 'storageClass' | 'checksum'
>;

export function summarize(manifest: ObjectManifest): ObjectSummary {
  const { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum } = manifest;
  return { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum };
}

/** Returns a file name for any key. It has a fixed length and cannot point outside the directory. */
export function manifestFileName(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}

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
