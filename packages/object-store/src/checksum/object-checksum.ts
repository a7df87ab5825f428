import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import {
  type Checksum,
  CHECKSUM_TRAITS,
  type ChecksumAlgorithm,
  type ChecksumType,
  isChecksumAlgorithm,
} from './algorithm.ts';
import { combineCrcs } from './crc.ts';

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

/** Returns the algorithm of `x-amz-checksum-algorithm`. */
export function requestedAlgorithm(headers: RequestHeaders): ChecksumAlgorithm | undefined {
  const algorithm = headers.get('x-amz-checksum-algorithm')?.toUpperCase();
  if (algorithm !== undefined && !isChecksumAlgorithm(algorithm)) {
    throw new S3Error(
      'NotImplemented',
      `The checksum algorithm "${algorithm}" is not implemented by this store.`,
    );
  }
  return algorithm;
}

/**
 * Returns the checksum requested for a multipart upload. Defaults and errors follow "Checking object integrity",
 * Amazon S3 User Guide; unlike Amazon S3, this store adds no checksum on its own.
 */
export function requestedChecksumPlan(headers: RequestHeaders): ChecksumPlan | undefined {
  const algorithm = requestedAlgorithm(headers);
  const type = headers.get('x-amz-checksum-type')?.toUpperCase();
  if (algorithm === undefined) {
    if (type === undefined) return undefined;
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    );
  }
  if (type !== undefined && type !== 'FULL_OBJECT' && type !== 'COMPOSITE') {
    throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.');
  }
  const chosen = type ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE');
  const combinable = CHECKSUM_TRAITS[algorithm].polynomial !== undefined;
  if ((chosen === 'FULL_OBJECT' && !combinable) || (chosen === 'COMPOSITE' && algorithm === 'CRC64NVME')) {
    throw new S3Error(
      'InvalidRequest',
      `The ${chosen} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    );
  }
  return { algorithm, type: chosen };
}
