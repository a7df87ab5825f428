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
