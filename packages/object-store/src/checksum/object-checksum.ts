import { CHECKSUM_TRAITS, type Checksum, type ChecksumAlgorithm, type ChecksumType } from './algorithm.ts';
import { combineCrcs } from './polynomial.ts';

/** Checksum requested at the creation of a multipart upload. */
export interface ChecksumPlan {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
}

export interface ObjectChecksum extends Checksum {
  readonly type: ChecksumType;
}

interface ChecksummedPart {
  readonly sizeBytes: number;
  /** Base64 value of the plan's algorithm. */
  readonly value: string;
}

/** Computes the checksum of an object from the checksums of its parts. */
export function objectChecksum(plan: ChecksumPlan, parts: readonly ChecksummedPart[]): ObjectChecksum {
  const { start, sizeBytes, polynomial } = CHECKSUM_TRAITS[plan.algorithm];
  if (plan.type === 'COMPOSITE') {
    const digest = start();
    for (const part of parts) digest.update(Buffer.from(part.value, 'base64'));
    return { ...plan, value: `${digest.digest().toString('base64')}-${parts.length}` };
  }
  if (polynomial === undefined)
    throw new TypeError(`${plan.algorithm} does not support full-object checksums`);
  const pieces = parts.map((part) => ({
    crc: BigInt(`0x${Buffer.from(part.value, 'base64').toString('hex')}`),
    sizeBytes: part.sizeBytes,
  }));
  const hex = combineCrcs(pieces, polynomial)
    .toString(16)
    .padStart(sizeBytes * 2, '0');
  return { ...plan, value: Buffer.from(hex, 'hex').toString('base64') };
}
