import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BackhaulError, type UploadRecord } from '@backhaul/protocol';

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

/** Compares bytes, passed in order, with the record. */
export interface ContentCheck {
  /** The compared property, for messages. */
  readonly by: 'sha256' | 'crc32' | 'size';
  update(chunk: Uint8Array): void;
  /** @throws BackhaulError `checksum_mismatch`. */
  finish(): void;
}

/** Returns the strongest check that the record allows: SHA-256 of the file, else CRC32 of the object, else the size. */
export function contentCheck(record: UploadRecord): ContentCheck {
  let sizeBytes = 0;
  const digest = strongestDigest(record);
  return {
    by: digest.by,
    update(chunk) {
      sizeBytes += chunk.length;
      digest.update(chunk);
    },
    finish() {
      if (sizeBytes !== record.size) {
        throw mismatch(`it has ${sizeBytes} bytes, the record says ${record.size}`);
      }
      const actual = digest.value();
      if (actual === digest.expected) return;
      throw mismatch(`its ${digest.by} is ${actual}, the record says ${digest.expected}`);
    },
  };
}

interface ExpectedDigest extends Digest {
  readonly by: ContentCheck['by'];
  readonly expected: string;
}

function strongestDigest({ sha256, checksum }: UploadRecord): ExpectedDigest {
  if (sha256 !== null) return { by: 'sha256', expected: sha256, ...sha256Digest() };
  if (checksum?.algorithm === 'crc32' && checksum.type === 'full_object') {
    return { by: 'crc32', expected: checksum.value, ...crc32Digest() };
  }
  return { by: 'size', expected: '', update: () => undefined, value: () => '' };
}

function mismatch(difference: string): BackhaulError {
  return new BackhaulError(
    'checksum_mismatch',
    `The downloaded object differs from its record: ${difference}.`,
  );
}
