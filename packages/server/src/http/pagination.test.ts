import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from './pagination.ts';

const schema = z.tuple([z.int(), z.string()]);

test('a cursor decodes to its position, and needs no escaping in a URL', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.string({ unit: 'grapheme' }), (at, id) => {
      const cursor = encodeCursor([at, id]);
      assert.match(cursor, /^[A-Za-z0-9_-]+$/);
      assert.deepEqual(decodeCursor(cursor, schema), [at, id]);
    }),
  );
});

test('a cursor of another origin is an invalid_request that names the cursor', () => {
  const text = (json: string): string => Buffer.from(json).toString('base64url');
  for (const forged of [
    '',
    'x',
    '%%%',
    text('{}'),
    text('[1]'),
    text('["1","a"]'),
    text('[1,"a","b"]'),
    text('[1'),
  ]) {
    assert.throws(() => decodeCursor(forged, schema), { code: 'invalid_request', message: /^cursor: / });
  }
});

test('no text makes the decoder fail in another way', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (cursor) => {
      try {
        decodeCursor(cursor, schema);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'invalid_request');
      }
    }),
  );
});
