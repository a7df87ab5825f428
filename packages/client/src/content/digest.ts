import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** A checksum of bytes that are passed in order. */
export interface Digest {
  update(chunk: Uint8Array): void;
  /** Returns the value in the format of the record. Call it once, at the end. */
  value(): string;
}

/** SHA-256 in hexadecimal. */
export function sha256Digest(): Digest {
  const hash = createHash('sha256');
  return { update: (chunk) => void hash.update(chunk), value: () => hash.digest('hex') };
}

/** CRC32 as base64 of its big-endian bytes, like S3. */
export function crc32Digest(): Digest {
  let crc = 0;
  return {
    update: (chunk) => void (crc = crc32(chunk, crc)),
    value: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(crc);
      return bytes.toString('base64');
    },
  };
}
