import { CHECKSUM_TRAITS, isChecksumAlgorithm, type ChecksumAlgorithm } from '../checksum/algorithm.ts';
import type { ChecksumPlan } from '../checksum/object-checksum.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';

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
