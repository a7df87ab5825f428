import {
  type ChecksumMode,
  type ErrorCode,
  partRange,
  planParts,
  type Verification,
} from '@backhaul/protocol';
import type { ObjectFacts } from '../ports/bucket.ts';
import { planRule } from '../upload-settings.ts';
import type { Upload, UploadPart } from './upload.ts';

/** Required properties of the object. */
export interface ExpectedObject {
  readonly sizeBytes: number;
  readonly checksumMode: ChecksumMode;
  /** Base64, combined from the parts. */
  readonly crc32: string;
}

/** The multipart upload to complete, and the object that it must become. */
export interface CheckedParts {
  /** Null only for an empty file. */
  readonly s3UploadId: string | null;
  readonly expected: ExpectedObject;
}

/** An upload's error, for its record. */
export interface Failure {
  readonly error: ErrorCode;
  readonly message: string;
}

/** CRC32 of zero bytes, base64. */
const EMPTY_CRC32 = 'AAAAAA==';

/** @returns what is missing if not all parts were sent as planned. */
export function checkParts(upload: Upload, parts: readonly UploadPart[]): Failure | CheckedParts {
  const { s3UploadId, checksumMode, sizeBytes, partCount } = upload;
  const isStarted = s3UploadId !== null || sizeBytes === 0;
  if (!isStarted || checksumMode === null || sizeBytes === null || partCount === null) {
    return {
      error: 'protocol_error',
      message: 'The agent reported the end of an upload that never started.',
    };
  }
  if (sizeBytes === 0) return { s3UploadId, expected: { sizeBytes, checksumMode, crc32: EMPTY_CRC32 } };
  const plan = planParts(sizeBytes, planRule);
  const missing = Array.from({ length: partCount }, (_, index) => index + 1).find((partNumber) => {
    const part = parts[partNumber - 1];
    return (
      part?.partNumber !== partNumber ||
      part.etag === null ||
      part.sizeBytes !== partRange(plan, partNumber).length
    );
  });
  if (missing !== undefined || parts.length !== partCount) {
    return {
      error: 'protocol_error',
      message: `The agent reported all parts as sent, but part ${missing ?? partCount + 1} was not sent.`,
    };
  }
  return { s3UploadId, expected: { sizeBytes, checksumMode, crc32: combineCrc32(parts) } };
}

/**
 * For an empty object the length is expected enough. A checksum of the whole object was compared before, if the store
 * has one; in modes other than none the store enforced each part's.
 */
export function verificationLevel(object: ObjectFacts, mode: ChecksumMode): Verification {
  if (object.crc32 !== null || object.sizeBytes === 0) return 'full_object';
  return mode === 'none' ? 'size_only' : 'parts';
}

/** @returns a sentence describing how the object differs; undefined if it is the expected one. */
export function compareObject(object: ObjectFacts, { sizeBytes, crc32 }: ExpectedObject): string | undefined {
  if (object.sizeBytes !== sizeBytes) {
    return `The object has ${object.sizeBytes} bytes, the file ${sizeBytes}.`;
  }
  if (object.crc32 !== null && object.crc32 !== crc32) {
    return `The object's CRC32 is ${object.crc32}, the file's ${crc32}.`;
  }
  return undefined;
}

/**
 * CRC-32 (ISO-HDLC, as in zlib and S3) of a whole, computed from its parts' CRCs without reading the data again.
 *
 * A CRC is a remainder modulo a polynomial P over GF(2): appending n bytes multiplies the previous CRC by x^(8n) mod
 * P, then the new part's CRC is added (zlib, `crc32_combine`). Bits are reflected: bit 31 is x⁰.
 */
export function combineCrc32(parts: readonly { crc32: string; sizeBytes: number }[]): string {
  let combined = 0;
  // All parts but the last have the same length: their factor is computed once.
  let factor = { sizeBytes: 0, value: ONE };
  for (const part of parts) {
    if (part.sizeBytes !== factor.sizeBytes) {
      factor = { sizeBytes: part.sizeBytes, value: xToThe8n(part.sizeBytes) };
    }
    combined = multiply(factor.value, combined) ^ Buffer.from(part.crc32, 'base64').readUInt32BE();
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(combined >>> 0);
  return bytes.toString('base64');
}

const POLYNOMIAL = 0xedb88320;
/** x⁰. */
const ONE = 0x80000000;

/** The product of two polynomials modulo P. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= shifted;
    // Multiply by x.
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ POLYNOMIAL;
  }
  return product;
}

/** @param n Bytes, 0 to 2⁵³ − 1: beyond the range of 32-bit operators, hence the division. */
function xToThe8n(n: number): number {
  let result = ONE;
  // x⁸, then its squares.
  let square = ONE >>> 8;
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(square, result);
    square = multiply(square, square);
  }
  return result;
}
