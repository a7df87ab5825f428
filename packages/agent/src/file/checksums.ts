import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';

/** CRC-32 in the format of S3's headers: base64 of the four big-endian bytes. */
export function crc32Base64(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

/** @param wholeFile Updated with every byte; parts must then be hashed in order. */
export async function hashSlices(
  slices: AsyncIterable<Buffer>,
  mode: ChecksumMode,
  wholeFile: Hash | null,
): Promise<PartChecksums> {
  const own = mode === 'sha256' || mode === 'md5' ? createHash(mode) : null;
  let crc = 0;
  for await (const slice of slices) {
    crc = crc32(slice, crc);
    own?.update(slice);
    wholeFile?.update(slice);
  }
  const checksums: PartChecksums = { crc32: crc32Base64(crc) };
  if (own !== null && mode === 'sha256') checksums.sha256 = own.digest('base64');
  if (own !== null && mode === 'md5') checksums.md5 = own.digest('base64');
  return checksums;
}
