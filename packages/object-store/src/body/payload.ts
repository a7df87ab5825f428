import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';

/** Framing and verification of a request's payload, from `x-amz-content-sha256`. */
export interface PayloadForm {
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
