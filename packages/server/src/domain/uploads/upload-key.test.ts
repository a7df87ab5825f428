import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { keySegment, uploadKey } from './upload-key.ts';

/** Ordinary and malicious names. */
const anyName = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: fc.constantFrom('.', '/', '\\', '%', '2', 'e', 'x', '\0', ' '), maxLength: 300 }),
  fc
    .tuple(fc.string({ maxLength: 3 }), fc.integer({ min: 0, max: 300 }))
    .map(([head, dots]) => head + '.'.repeat(dots)),
);

test('a key has only safe characters, no dot segments and at most 1,024 bytes', (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  fc.assert(
    fc.property(
      anyName,
      fc.constantFrom('', 'uploads', 'sites/emea', 'p'.repeat(512)),
      (fileName, prefix) => {
        const clientId = 'c'.repeat(64);
        const uploadId = uuidv7();
        const key = uploadKey({ prefix, clientId, uploadId, fileName });
        assert.match(key, /^[A-Za-z0-9._/-]+$/);
        assert.ok(Buffer.byteLength(key) <= 1024);
        const segments = key.split('/');
        for (const segment of segments)
          assert.doesNotMatch(segment, /^\.*$/, 'a segment of only dots, or an empty one');
        assert.deepEqual(segments.slice(-3, -1), [clientId, uploadId]);
        // The WHATWG URL parser must not change it after signing.
        assert.equal(new URL(`https://store.test/bucket/${key}`).pathname, `/bucket/${key}`);
      },
    ),
    { seed, numRuns: 3000 },
  );
});

test('a safe name is unchanged; unsafe characters of others are replaced', () => {
  for (const [name, safe] of [
    ['report-2025_11.tar.gz', 'report-2025_11.tar.gz'],
    ['Übersicht März.pdf', 'U_bersicht_Ma_rz.pdf'],
    ['..', '_'],
    ['.bashrc', '_bashrc'],
    ['日本語.csv', '_.csv'],
    ['a/../../b', 'a_.._.._b'],
    ['', 'file'],
    ['a%2e%2e', 'a_2e_2e'],
  ]) {
    assert.equal(keySegment(name ?? ''), safe);
  }
});

test('a long name keeps its extension', () => {
  const safe = keySegment(`${'x'.repeat(500)}.parquet`);
  assert.equal(safe.length, 128);
  assert.ok(safe.endsWith('x.parquet'));
});
