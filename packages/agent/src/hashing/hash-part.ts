import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import type { BufferPool } from './buffer-pool.ts';
import type { OpenedFile } from './open-file.ts';
import { type Range, readSlices } from './read-slices.ts';

export interface HashOptions {
  readonly mode: ChecksumMode;
  /** Takes every byte too; parts must then be hashed in order. */
  readonly wholeFile: Hash | null;
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

/** Reads one part in slices, so that no hash blocks the event loop for more than a slice. */
export async function hashPart(
  file: Pick<OpenedFile, 'readFully'>,
  range: Range,
  options: HashOptions,
): Promise<PartChecksums> {
  const own = options.mode === 'sha256' || options.mode === 'md5' ? createHash(options.mode) : null;
  let crc = 0;
  for await (const slice of readSlices(file, range, options)) {
    crc = crc32(slice, crc);
    own?.update(slice);
    options.wholeFile?.update(slice);
  }
  const checksums: PartChecksums = { crc32: crc32Base64(crc) };
  if (own !== null && options.mode === 'sha256') checksums.sha256 = own.digest('base64');
  if (own !== null && options.mode === 'md5') checksums.md5 = own.digest('base64');
  return checksums;
}

/** As S3's headers spell it: base64 of the four big-endian bytes. */
export function crc32Base64(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}
