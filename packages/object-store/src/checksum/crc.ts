/** A reflected CRC polynomial over GF(2). */
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

/**
 * Returns the CRC of adjacent pieces, in order, from their CRCs and without their bytes, as zlib's `crc32_combine` does.
 * Shifts are cached by size, because most parts have the same size.
 */
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

const SLICES = 8;

/** `SLICES` tables of 256 entries, each split in two 32-bit words because BigInt would be slow. */
interface CrcTables {
  readonly low: Uint32Array;
  readonly high: Uint32Array;
}

function buildTables({ reflected }: CrcPolynomial): CrcTables {
  const low = new Uint32Array(SLICES * 256);
  const high = new Uint32Array(SLICES * 256);
  for (let index = 0; index < 256; index++) {
    let crc = BigInt(index);
    for (let slice = 0; slice < SLICES; slice++) {
      // Each further table applies one more zero byte.
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ reflected : crc >> 1n;
      low[slice * 256 + index] = Number(crc & 0xffffffffn);
      high[slice * 256 + index] = Number(crc >> 32n);
    }
  }
  return { low, high };
}

/** A running CRC of 32 or 64 bits with initial value all ones and final inversion ("slicing by 8"). */
class TableCrc {
  readonly #tables: CrcTables;
  readonly #sizeBytes: number;
  #low = 0xffffffff;
  #high: number;

  constructor(tables: CrcTables, sizeBytes: number) {
    this.#tables = tables;
    this.#sizeBytes = sizeBytes;
    this.#high = sizeBytes === 8 ? 0xffffffff : 0;
  }

  update(bytes: Uint8Array): void {
    const { low: tableLow, high: tableHigh } = this.#tables;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let low = this.#low;
    let high = this.#high;
    let at = 0;
    // Every index below is masked to the size of its table, so the reads are never undefined.
    for (const end = bytes.length - (SLICES - 1); at < end; at += SLICES) {
      const a = low ^ view.getUint32(at, true);
      const b = high ^ view.getUint32(at + 4, true);
      const i0 = 1792 + (a & 255);
      const i1 = 1536 + ((a >>> 8) & 255);
      const i2 = 1280 + ((a >>> 16) & 255);
      const i3 = 1024 + (a >>> 24);
      const i4 = 768 + (b & 255);
      const i5 = 512 + ((b >>> 8) & 255);
      const i6 = 256 + ((b >>> 16) & 255);
      const i7 = b >>> 24;
      low =
        tableLow[i0]! ^
        tableLow[i1]! ^
        tableLow[i2]! ^
        tableLow[i3]! ^
        tableLow[i4]! ^
        tableLow[i5]! ^
        tableLow[i6]! ^
        tableLow[i7]!;
      high =
        tableHigh[i0]! ^
        tableHigh[i1]! ^
        tableHigh[i2]! ^
        tableHigh[i3]! ^
        tableHigh[i4]! ^
        tableHigh[i5]! ^
        tableHigh[i6]! ^
        tableHigh[i7]!;
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ bytes[at]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ tableLow[index]!;
      high = (high >>> 8) ^ tableHigh[index]!;
    }
    this.#low = low >>> 0;
    this.#high = high >>> 0;
  }

  /** Big-endian, 4 or 8 bytes. */
  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(~this.#high >>> 0, 0);
    bytes.writeUInt32BE(~this.#low >>> 0, 4);
    return bytes.subarray(8 - this.#sizeBytes);
  }
}

/** @returns a function that starts a running CRC; all share the same tables. */
export function tableCrc(polynomial: CrcPolynomial): () => TableCrc {
  let tables: CrcTables | undefined;
  return () => new TableCrc((tables ??= buildTables(polynomial)), Number(polynomial.widthBits / 8n));
}
