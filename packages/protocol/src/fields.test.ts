import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  clientIdSchema,
  filePathSchema,
  partChecksumsSchema,
  partNumberSchema,
  sha256HexSchema,
  timestampSchema,
  uploadIdSchema,
} from './fields.ts';

describe('a client_id', () => {
  test('consists of at most 64 letters, digits, dots, underscores and hyphens', () => {
    for (const id of ['a', '7', 'restaurant-1', 'Lab_2.north', 'x'.repeat(64)]) {
      assert.ok(clientIdSchema.safeParse(id).success, id);
    }
  });

  test('has no other characters', () => {
    for (const id of ['', '-a', '.a', '..', '_a', 'a/b', 'a b', 'a\n', 'ä', 'a%2f', 'a\0', 'x'.repeat(65)]) {
      assert.ok(!clientIdSchema.safeParse(id).success, JSON.stringify(id));
    }
  });

  test('needs no escaping in a URL and is one path segment', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 64 }), (id) => {
        if (!clientIdSchema.safeParse(id).success) return;
        assert.equal(encodeURIComponent(id), id);
        assert.equal(new URL(`http://h/status/${id}`).pathname, `/status/${id}`);
      }),
      { examples: [['a..'], ['A'], ['0._-']] },
    );
  });
});

test('an upload_id is a UUIDv7', () => {
  assert.ok(uploadIdSchema.safeParse('019ab3c2-5f00-7000-8000-000000000001').success);
  for (const id of [
    '9b2f4c1e-3b7a-4d7e-8a52-1f0c6d9e7a10',
    '019ab3c2-5f00-7000-c000-000000000001',
    '019ab3c25f0070008000000000000001',
    '019ab3c2-5f00-7000-8000-000000000001\n',
  ]) {
    assert.ok(!uploadIdSchema.safeParse(id).success, id);
  }
});

test('a file path is any text of 1 to 4,096 characters without NUL', () => {
  for (const path of [
    '/data/report.bin',
    'C:\\till\\a.csv',
    '\\\\nas\\share\\x',
    '../x',
    'ü',
    'x'.repeat(4096),
  ]) {
    assert.ok(filePathSchema.safeParse(path).success, path.slice(0, 20));
  }
  for (const path of ['', 'a\0b', 'x'.repeat(4097)]) assert.ok(!filePathSchema.safeParse(path).success);
});

test('part numbers are 1 to 10,000', () => {
  for (const number of [1, 10_000]) assert.ok(partNumberSchema.safeParse(number).success);
  for (const number of [0, 10_001, 1.5, '1', -1]) assert.ok(!partNumberSchema.safeParse(number).success);
});

test('times are UTC', () => {
  for (const time of ['2025-11-01T10:30:00Z', '2025-11-01T10:30:00.000Z']) {
    assert.ok(timestampSchema.safeParse(time).success);
  }
  for (const time of ['2025-11-01T10:30:00+02:00', '2025-11-01', '2025-13-01T00:00:00Z', 1_761_992_400_000]) {
    assert.ok(!timestampSchema.safeParse(time).success, String(time));
  }
});

const widths = { crc32: 4, md5: 16, sha256: 32 } as const;

test('a checksum of a part is canonical base64 of exactly its bytes', () => {
  for (const [name, width] of Object.entries(widths)) {
    const schema = partChecksumsSchema.shape[name as keyof typeof widths];
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 40 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64');
        assert.equal(schema.safeParse(text).success, bytes.length === width, `${name} ${text}`);
      }),
      { examples: [[new Uint8Array(width)], [new Uint8Array(width).fill(255)]] },
    );
    fc.assert(
      fc.property(fc.base64String({ maxLength: 48 }), (text) => {
        const accepted = schema.safeParse(text).success;
        if (accepted) assert.equal(Buffer.from(text, 'base64').toString('base64'), text);
      }),
    );
  }
});

test('a CRC32 is required, stronger checksums are optional', () => {
  assert.ok(partChecksumsSchema.safeParse({ crc32: 'AAAAAA==' }).success);
  assert.ok(
    !partChecksumsSchema.safeParse({ sha256: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' }).success,
  );
});

test('the SHA-256 of a file has the format of sha256sum', () => {
  assert.ok(sha256HexSchema.safeParse('0'.repeat(64)).success);
  for (const text of ['0'.repeat(63), 'A'.repeat(64), `${'0'.repeat(64)}\n`]) {
    assert.ok(!sha256HexSchema.safeParse(text).success);
  }
});
