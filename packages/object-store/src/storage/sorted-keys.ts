/**
 * Compares by UTF-8 bytes, the order in which S3 lists keys. JavaScript's order differs between surrogates (U+10000 and
 * above) and U+E000…U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x === y) continue;
    const xSurrogate = (x & 0xf800) === 0xd800;
    const ySurrogate = (y & 0xf800) === 0xd800;
    return xSurrogate === ySurrogate ? x - y : Number(xSurrogate) - Number(ySurrogate);
  }
  return a.length - b.length;
}

/** Keys in listing order. With a million keys, an insertion takes well under a millisecond. */
export class SortedKeys {
  readonly #keys: string[];

  constructor(keys: Iterable<string>) {
    this.#keys = [...keys].sort(compareUtf8);
  }

  /** Returns the position of the first key for which `isPast` is true; it must be true for all later keys. */
  firstPast(isPast: (key: string) => boolean, from = 0): number {
    let low = from;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      // Within bounds: low ≤ middle < high ≤ length.
      if (isPast(this.#keys[middle]!)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  at(position: number): string | undefined {
    return this.#keys[position];
  }

  add(key: string): void {
    const position = this.firstPast((other) => compareUtf8(other, key) >= 0);
    if (this.#keys[position] !== key) this.#keys.splice(position, 0, key);
  }

  delete(key: string): void {
    const position = this.firstPast((other) => compareUtf8(other, key) >= 0);
    if (this.#keys[position] === key) this.#keys.splice(position, 1);
  }
}
