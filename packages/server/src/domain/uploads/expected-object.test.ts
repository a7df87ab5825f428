import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { combineCrc32 } from './expected-object.ts';

function crc32Base64(bytes: Uint8Array): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString('base64');
}

const describePart = (bytes: Uint8Array) => ({ crc32: crc32Base64(bytes), sizeBytes: bytes.length });

test('the combined CRC32 of parts equals that of their concatenation', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 }), (parts) => {
      assert.equal(combineCrc32(parts.map(describePart)), crc32Base64(Buffer.concat(parts)));
    }),
  );
});

test('the order of the parts matters', () => {
  const [a, b] = [Buffer.from('first'), Buffer.from('other')];
  assert.notEqual(combineCrc32([a, b].map(describePart)), combineCrc32([b, a].map(describePart)));
});

test('one empty part is the CRC32 of nothing', () => {
  assert.equal(combineCrc32([describePart(Buffer.alloc(0))]), crc32Base64(Buffer.alloc(0)));
});

test('parts of more than 4 GiB combine', () => {
  // Zeros appended step by step, compared with the same number appended in one step.
  const head = describePart(randomBytes(64));
  const zeroes = { crc32: crc32Base64(Buffer.alloc(1 << 20)), sizeBytes: 1 << 20 };
  const fiveGiB = Array.from({ length: 5 * 1024 }, () => zeroes);
  const stride = { crc32: combineCrc32(fiveGiB), sizeBytes: 5 * 2 ** 30 };
  assert.equal(combineCrc32([head, stride]), combineCrc32([head, ...fiveGiB]));
});

test('10,000 parts combine in well under a second', () => {
  const part = describePart(randomBytes(1000));
  const started = performance.now();
  combineCrc32(Array.from({ length: 10_000 }, () => part));
  assert.ok(performance.now() - started < 500);
});
