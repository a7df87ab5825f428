import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareUtf8, listKeys, SortedKeys } from './sorted-keys.ts';

/** Few letters, so that prefixes are shared, and characters around the surrogates, where the orders differ. */
const key = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '\ud7ff', '\ue000', '\u{10000}', '\u{10ffff}'),
  minLength: 1,
  maxLength: 6,
});

test('keys are compared by their UTF-8 bytes', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

/** Straightforward implementation of S3's rule: group keys with the delimiter after the prefix. */
function expectedEntries(keys: readonly string[], prefix: string, delimiter: string): string[] {
  const names = keys
    .filter((name) => name.startsWith(prefix))
    .map((name) => {
      const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length);
      return cut === -1 ? `key ${name}` : `group ${name.slice(0, cut + delimiter.length)}`;
    });
  return [...new Set(names)];
}

test('pages of any size and prefix together are the list by S3’s rule', () => {
  const inputs = fc.record({
    keys: fc.uniqueArray(key, { maxLength: 30 }),
    prefix: fc.oneof(fc.constant(''), key),
    delimiter: fc.constantFrom('', '/', 'a', 'b/'),
    limit: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(inputs, ({ keys, prefix, delimiter, limit }) => {
      const sorted = new SortedKeys([]);
      for (const name of keys) sorted.add(name);
      const listed: string[] = [];
      let after = '';
      let afterGroup = false;
      for (;;) {
        const { entries, truncated } = listKeys(sorted, { prefix, delimiter, after, afterGroup, limit });
        assert.ok(entries.length <= limit);
        for (const { name, group } of entries) listed.push(`${group ? 'group' : 'key'} ${name}`);
        const last = entries.at(-1);
        if (!truncated || last === undefined) break;
        after = last.name;
        afterGroup = last.group;
      }
      assert.deepEqual(listed, expectedEntries([...keys].sort(compareUtf8), prefix, delimiter));
    }),
  );
});

test('a deleted key is not listed, and deleting a missing key changes nothing', () => {
  const sorted = new SortedKeys(['b', 'a', 'c']);
  sorted.delete('b');
  sorted.delete('bb');
  assert.deepEqual([sorted.at(0), sorted.at(1), sorted.at(2)], ['a', 'c', undefined]);
});
