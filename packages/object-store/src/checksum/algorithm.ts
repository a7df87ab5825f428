import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  CRC32_POLYNOMIAL,
  CRC32C_POLYNOMIAL,
  CRC64NVME_POLYNOMIAL,
  type CrcPolynomial,
  tableCrc,
} from './crc.ts';

export const CHECKSUM_ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** `FULL_OBJECT` covers the object's bytes, `COMPOSITE` the checksums of its parts. */
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE';

/** `value` is base64, followed by `-PARTS` for a composite checksum. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string;
}

interface RunningDigest {
  update(bytes: Uint8Array): unknown;
  digest(): Buffer;
}

class ZlibCrc32 implements RunningDigest {
  #crc = 0;

  update(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc);
  }

  digest(): Buffer {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#crc);
    return bytes;
  }
}

interface AlgorithmTraits {
  readonly start: () => RunningDigest;
  readonly sizeBytes: number;
  /** Set for CRCs, whose part checksums can be combined to that of the full object. */
  readonly polynomial?: CrcPolynomial;
}

export const CHECKSUM_TRAITS: Readonly<Record<ChecksumAlgorithm, AlgorithmTraits>> = {
  CRC32: { start: () => new ZlibCrc32(), sizeBytes: 4, polynomial: CRC32_POLYNOMIAL },
  CRC32C: { start: tableCrc(CRC32C_POLYNOMIAL), sizeBytes: 4, polynomial: CRC32C_POLYNOMIAL },
  CRC64NVME: { start: tableCrc(CRC64NVME_POLYNOMIAL), sizeBytes: 8, polynomial: CRC64NVME_POLYNOMIAL },
  SHA1: { start: () => createHash('sha1'), sizeBytes: 20 },
  SHA256: { start: () => createHash('sha256'), sizeBytes: 32 },
};

export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

export const CHECKSUM_HEADERS: readonly string[] = CHECKSUM_ALGORITHMS.map(checksumHeader);

export function algorithmOfHeader(header: string): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.find((algorithm) => checksumHeader(algorithm) === header);
}

export function isChecksumAlgorithm(name: string): name is ChecksumAlgorithm {
  return (CHECKSUM_ALGORITHMS as readonly string[]).includes(name);
}

/** Element name in S3's XML: `ChecksumCRC32`. */
export function checksumElement(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm}`;
}
