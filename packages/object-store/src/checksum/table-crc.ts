import type { CrcPolynomial } from './polynomial.ts';

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
