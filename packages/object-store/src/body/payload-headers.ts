import {
  algorithmOfHeader,
  CHECKSUM_HEADERS,
  CHECKSUM_TRAITS,
  type ChecksumAlgorithm,
  isChecksumAlgorithm,
} from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';

/** Framing and verification of a request's payload, from `x-amz-content-sha256`. */
interface PayloadForm {
  /** SHA-256 in hexadecimal, if the request's signature covers the whole payload. */
  readonly sha256: string | undefined;
  readonly chunked: boolean;
  readonly chunksSigned: boolean;
  readonly trailers: boolean;
}

const FORMS: Readonly<Record<string, PayloadForm>> = {
  'UNSIGNED-PAYLOAD': { sha256: undefined, chunked: false, chunksSigned: false, trailers: false },
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER': {
    sha256: undefined,
    chunked: true,
    chunksSigned: false,
    trailers: true,
  },
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': {
    sha256: undefined,
    chunked: true,
    chunksSigned: true,
    trailers: false,
  },
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER': {
    sha256: undefined,
    chunked: true,
    chunksSigned: true,
    trailers: true,
  },
};

export function payloadForm(payloadHash: string): PayloadForm {
  if (/^[0-9a-f]{64}$/.test(payloadHash)) {
    return { sha256: payloadHash, chunked: false, chunksSigned: false, trailers: false };
  }
  const form = Object.hasOwn(FORMS, payloadHash) ? FORMS[payloadHash] : undefined;
  if (form === undefined) {
    throw new S3Error(
      'InvalidArgument',
      `x-amz-content-sha256 must be ${Object.keys(FORMS).join(', ')} or a hex-encoded SHA-256.`,
    );
  }
  return form;
}

/** Parses a header with a number of bytes. */
function byteCount(headers: RequestHeaders, name: string): number | undefined {
  const value = headers.get(name);
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value)) throw new S3Error('InvalidArgument', `${name} must be a number of bytes.`);
  return Number(value);
}

/**
 * Returns the announced size of the payload without framing, in bytes; undefined if no header announces a payload, in
 * which case there is none.
 * @throws S3Error MissingContentLength if the size of the payload is unknown
 */
export function payloadSize(headers: RequestHeaders, { chunked }: PayloadForm): number | undefined {
  const size = byteCount(headers, chunked ? 'x-amz-decoded-content-length' : 'content-length');
  if (size !== undefined) return size;
  if (!chunked && !headers.has('transfer-encoding')) return undefined;
  throw new S3Error(
    'MissingContentLength',
    chunked ? 'A streaming payload requires the x-amz-decoded-content-length header.' : undefined,
  );
}

/** Returns the MD5 of `Content-MD5`, in hexadecimal. @throws S3Error InvalidDigest */
export function claimedMd5(headers: RequestHeaders): string | undefined {
  const value = headers.get('content-md5');
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== 16 || bytes.toString('base64') !== value) throw new S3Error('InvalidDigest');
  return bytes.toString('hex');
}

/** Checksum that a request gives for its payload; the value of a trailing checksum follows the payload. */
interface ClaimedChecksum {
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
