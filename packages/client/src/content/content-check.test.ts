import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { uploadRecord } from '../../../../test/harness/upload-record.ts';
import { contentCheck } from './content-check.ts';

const text = '123456789';
const sha256 = '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225';
/** CBF43926, the standard check value of CRC-32. */
const checksum = { algorithm: 'crc32', type: 'full_object', value: 'y/Q5Jg==' } as const;

function check(content: string, fields: Partial<UploadRecord>): string {
  const checking = contentCheck(uploadRecord({ size: text.length, ...fields }));
  for (const letter of content) checking.update(Buffer.from(letter));
  checking.finish();
  return checking.by;
}

test('the strongest available checksum is compared', () => {
  assert.equal(check(text, { sha256, checksum }), 'sha256');
  assert.equal(check(text, { checksum }), 'crc32');
  assert.equal(check(text, {}), 'size');
});

test('changed, missing and extra bytes are mismatches', () => {
  for (const fields of [{ sha256 }, { checksum }]) {
    assert.throws(() => check('12345678X', fields), { code: 'checksum_mismatch' });
  }
  for (const content of ['12345678', '1234567890']) {
    assert.throws(() => check(content, {}), { code: 'checksum_mismatch' });
  }
});
