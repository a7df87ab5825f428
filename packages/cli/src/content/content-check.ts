import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BackhaulError, type UploadRecord } from '@backhaul/protocol';

/** Compares bytes, given in order, with what the record says of them. */
export interface ContentCheck {
  /** What the bytes are compared by, for the report. */
  readonly by: 'sha256' | 'crc32' | 'size';
  update(chunk: Uint8Array): void;
  /** @throws BackhaulError `checksum_mismatch`. */
  finish(): void;
}

/** The strongest check that the record allows: SHA-256 of the file, else CRC32 of the object, else the size. */
export function contentCheck(record: UploadRecord): ContentCheck {
  let sizeBytes = 0;
  const digest = openDigest(record);
  return {
    by: digest.by,
    update(chunk) {
      sizeBytes += chunk.length;
      digest.update(chunk);
    },
    finish() {
      if (sizeBytes !== record.size) {
        throw mismatch(`${sizeBytes} bytes arrived, the record says ${record.size}`);
      }
      const actual = digest.value();
      if (actual === digest.expected) return;
      throw mismatch(`its ${digest.by} is ${actual}, the record says ${digest.expected}`);
    },
  };
}

interface Digest {
  readonly by: ContentCheck['by'];
  readonly expected: string;
  update(chunk: Uint8Array): void;
  value(): string;
}

function openDigest({ sha256, checksum }: UploadRecord): Digest {
  if (sha256 !== null) {
    const hash = createHash('sha256');
    return {
      by: 'sha256',
      expected: sha256,
      update: (chunk) => void hash.update(chunk),
      value: () => hash.digest('hex'),
    };
  }
  if (checksum !== null) {
    let crc = 0;
    return {
      by: 'crc32',
      expected: checksum.value,
      update: (chunk) => void (crc = crc32(chunk, crc)),
      value: () => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(crc);
        return bytes.toString('base64');
      },
    };
  }
  return { by: 'size', expected: '', update: () => undefined, value: () => '' };
}

function mismatch(what: string): BackhaulError {
  return new BackhaulError('checksum_mismatch', `The fetched object is not the file: ${what}.`);
}
