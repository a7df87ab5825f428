import {
  algorithmOfHeader,
  CHECKSUM_HEADERS,
  CHECKSUM_TRAITS,
  isChecksumAlgorithm,
  type ChecksumAlgorithm,
} from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';

/** Checksum that a request gives for its payload; the value of a trailing checksum follows the payload. */
export interface ClaimedChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string | undefined;
}

/** @throws S3Error InvalidRequest unless the value is base64 of the algorithm's length */
export function checkChecksumValue(algorithm: ChecksumAlgorithm, value: string): string {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== CHECKSUM_TRAITS[algorithm].sizeBytes || bytes.toString('base64') !== value) {
    throw new S3Error(
      'InvalidRequest',
      `Value for x-amz-checksum-${algorithm.toLowerCase()} header is invalid.`,
    );
  }
  return value;
}

/** Returns the names in `x-amz-trailer`; only checksum trailers are supported. */
export function announcedTrailers(headers: RequestHeaders): string[] {
  const names = (headers.get('x-amz-trailer') ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const unknown = names.find((name) => algorithmOfHeader(name) === undefined);
  if (unknown !== undefined) {
    throw new S3Error('NotImplemented', `The trailer "${unknown}" is not implemented by this store.`);
  }
  return names;
}

export function claimedChecksum(headers: RequestHeaders, withTrailers: boolean): ClaimedChecksum | undefined {
  const trailers = announcedTrailers(headers);
  if (trailers.length > 0 && !withTrailers) {
    throw new S3Error(
      'InvalidRequest',
      'x-amz-trailer requires an x-amz-content-sha256 value that ends in -TRAILER.',
    );
  }
  const given = CHECKSUM_HEADERS.filter((name) => headers.has(name));
  const names = [...given, ...trailers];
  if (names.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header or trailer. Multiple checksum types are not allowed.',
    );
  }
  const [name] = names;
  const algorithm = name === undefined ? undefined : algorithmOfHeader(name);
  const announced = headers.get('x-amz-sdk-checksum-algorithm');
  if (announced !== undefined && announced.toUpperCase() !== algorithm) {
    const known = isChecksumAlgorithm(announced.toUpperCase());
    throw new S3Error(
      known ? 'InvalidRequest' : 'NotImplemented',
      known
        ? `x-amz-sdk-checksum-algorithm says ${announced}, but no x-amz-checksum-${announced.toLowerCase()} header or trailer was found.`
        : `The checksum algorithm "${announced}" is not implemented by this store.`,
    );
  }
  if (name === undefined || algorithm === undefined) return undefined;
  const value = headers.get(name);
  return { algorithm, value: value === undefined ? undefined : checkChecksumValue(algorithm, value) };
}
