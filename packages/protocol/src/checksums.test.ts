import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { partChecksumsSchema, sha256HexSchema } from './checksums.ts';

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
