import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** A checksum of bytes that are given in order. */
export interface Digest {
  update(chunk: Uint8Array): void;
  /** In the record's spelling. Asked for once, at the end. */
  value(): string;
}

/** Hexadecimal. */
export function sha256Digest(): Digest {
  const hash = createHash('sha256');
  return { update: (chunk) => void hash.update(chunk), value: () => hash.digest('hex') };
}

/** Base64 of the big-endian bytes, as S3 has it. */
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
