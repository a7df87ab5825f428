import { compareUtf8, type SortedKeys } from './sorted-keys.ts';

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
