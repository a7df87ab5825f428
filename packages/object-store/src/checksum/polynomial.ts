/**
 * Arithmetic on reflected CRC polynomials over GF(2), as in zlib's `crc32_combine`: computes the CRC of two adjacent
 * pieces from their CRCs, without their bytes.
 */
export interface CrcPolynomial {
  readonly widthBits: bigint;
  /** Reflected polynomial without the leading term. */
  readonly reflected: bigint;
}

export const CRC32_POLYNOMIAL: CrcPolynomial = { widthBits: 32n, reflected: 0xedb88320n };
export const CRC32C_POLYNOMIAL: CrcPolynomial = { widthBits: 32n, reflected: 0x82f63b78n };
export const CRC64NVME_POLYNOMIAL: CrcPolynomial = { widthBits: 64n, reflected: 0x9a6c9329ac4bc9b5n };

function multiply(a: bigint, b: bigint, { widthBits, reflected }: CrcPolynomial): bigint {
  let product = 0n;
  let factor = b;
  for (let bit = 1n << (widthBits - 1n); bit !== 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= factor;
    factor = (factor & 1n) === 0n ? factor >> 1n : (factor >> 1n) ^ reflected;
  }
  return product;
}

/** Returns x to the power of 8 · sizeBytes: the factor for the CRC of the bytes before that many bytes. */
function shiftBy(sizeBytes: number, polynomial: CrcPolynomial): bigint {
  const one = 1n << (polynomial.widthBits - 1n);
  let power = one;
  let square = one >> 8n;
  for (let rest = BigInt(sizeBytes); rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) power = multiply(power, square, polynomial);
    square = multiply(square, square, polynomial);
  }
  return power;
}

/** Returns the CRC of all pieces in order. Shifts are cached by size, because most parts have the same size. */
export function combineCrcs(
  pieces: Iterable<{ readonly crc: bigint; readonly sizeBytes: number }>,
  polynomial: CrcPolynomial,
): bigint {
  const shifts = new Map<number, bigint>();
  let combined = 0n;
  for (const { crc, sizeBytes } of pieces) {
    let shift = shifts.get(sizeBytes);
    if (shift === undefined) shifts.set(sizeBytes, (shift = shiftBy(sizeBytes, polynomial)));
    combined = multiply(shift, combined, polynomial) ^ crc;
  }
  return combined;
}
