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

export interface ListQuery {
  readonly prefix: string;
  /** Delimiter for grouping; empty for none. */
  readonly delimiter: string;
  /** List entries after this key, or after this whole group if `afterGroup`. */
  readonly after: string;
  readonly afterGroup: boolean;
  readonly limit: number;
}

export interface ListedKey {
  readonly name: string;
  /** Whether it is a common prefix instead of a key. */
  readonly group: boolean;
}

export interface KeyListing {
  readonly entries: readonly ListedKey[];
  readonly truncated: boolean;
}

/** Returns one page of keys and common prefixes. Groups are skipped by binary search, regardless of their size. */
export function listKeys(
  keys: SortedKeys,
  { prefix, delimiter, after, afterGroup, limit }: ListQuery,
): KeyListing {
  const pastGroup = (group: string) => (key: string) => compareUtf8(key, group) > 0 && !key.startsWith(group);
  let position = keys.firstPast((key) => compareUtf8(key, prefix) >= 0);
  if (after !== '') {
    const past = afterGroup ? pastGroup(after) : (key: string) => compareUtf8(key, after) > 0;
    position = Math.max(position, keys.firstPast(past));
  }
  const entries: ListedKey[] = [];
  for (let key = keys.at(position); key?.startsWith(prefix) === true; key = keys.at(position)) {
    if (entries.length === limit) return { entries, truncated: limit > 0 };
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut === -1) {
      entries.push({ name: key, group: false });
      position++;
    } else {
      const group = key.slice(0, cut + delimiter.length);
      entries.push({ name: group, group: true });
      position = keys.firstPast(pastGroup(group), position);
    }
  }
  return { entries, truncated: false };
}
