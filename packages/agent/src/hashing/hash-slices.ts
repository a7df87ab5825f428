import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import { crc32Base64 } from '../file/crc32-base64.ts';

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
