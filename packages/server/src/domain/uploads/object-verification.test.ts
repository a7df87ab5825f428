import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleUpload, sampleUploadIn } from '../fakes/sample-upload.ts';
import type { ObjectFacts } from '../ports/bucket.ts';
import { type VerificationResult, verifyObject } from './object-verification.ts';
import type { Upload } from './upload.ts';

const completed = sampleUploadIn('completed');

/** The object as it was when the upload completed, with later changes. */
function objectOf(fields: Partial<ObjectFacts> = {}): ObjectFacts {
  return {
    sizeBytes: 12_582_912,
    etag: '"object-3"',
    versionId: null,
    token: 'token-1',
    crc32: 'AAAAAA==',
    serverSideEncryption: 'AES256',
    storageClass: null,
    ...fields,
  };
}

function judge(object: Partial<ObjectFacts>, upload: Partial<Upload> = {}): VerificationResult {
  const own = objectOf(object);
  return verifyObject(sampleUpload({ ...completed, ...upload }), { own, current: own, keyState: 'recorded' });
}

function outcomes({ checks }: VerificationResult): Record<string, boolean | null> {
  return Object.fromEntries(checks.map(({ name, ok }) => [name, ok]));
}

test('an unchanged object is intact, proven by its checksum', () => {
  const result = judge({});
  assert.equal(result.verdict, 'intact');
  assert.equal(result.verification, 'full_object');
  assert.deepEqual(result.checks, [
    { name: 'token', ok: true, expected: null, found: null },
    { name: 'size', ok: true, expected: '12582912', found: '12582912' },
    { name: 'crc32', ok: true, expected: 'AAAAAA==', found: 'AAAAAA==' },
    { name: 'etag', ok: true, expected: '"object-3"', found: '"object-3"' },
    { name: 'version_id', ok: null, expected: null, found: null },
  ]);
});

test('without an object at the key the result is missing, with nothing to compare', () => {
  assert.deepEqual(verifyObject(completed, { own: undefined, current: undefined, keyState: 'nothing' }), {
    verdict: 'missing',
    verification: null,
    checks: [],
    keyState: 'nothing',
  });
});

const alterations: readonly (readonly [string, Partial<ObjectFacts>])[] = [
  ['token', { token: 'token-2' }],
  ['token', { token: null }],
  ['size', { sizeBytes: 12_582_911 }],
  ['size', { sizeBytes: 0 }],
  ['crc32', { crc32: 'AAAAAQ==' }],
  ['etag', { etag: '"object-4"' }],
  ['version_id', { versionId: 'v2' }],
];
for (const [name, fields] of alterations) {
  test(`an object with ${JSON.stringify(fields)} is altered, by its ${name} only`, () => {
    const result = judge({ versionId: 'v1', ...fields }, { versionId: 'v1' });
    assert.equal(result.verdict, 'altered');
    const all = { token: true, size: true, crc32: true, etag: true, version_id: true };
    assert.deepEqual(outcomes(result), { ...all, [name]: false });
  });
}

test('neither token is ever shown', () => {
  for (const token of ['token-1', 'token-2']) assert.doesNotMatch(JSON.stringify(judge({ token })), /token-/);
});

test('attributes that the store does not have are not compared, and lower the level', () => {
  const withoutChecksum = judge({ crc32: null });
  assert.equal(withoutChecksum.verdict, 'intact');
  assert.equal(withoutChecksum.verification, 'parts');
  assert.deepEqual(withoutChecksum.checks[2], {
    name: 'crc32',
    ok: null,
    expected: 'AAAAAA==',
    found: null,
  });
  const withoutEtag = judge({ crc32: null, etag: '' });
  assert.equal(withoutEtag.verdict, 'intact');
  assert.equal(withoutEtag.verification, 'size_only');
  assert.equal(outcomes(withoutEtag)['etag'], null);
});

test('the ETag of an object whose parts were never verified proves its size only', () => {
  assert.equal(judge({ crc32: null }, { verification: 'size_only' }).verification, 'size_only');
});

test('versioning enabled later is not an alteration', () => {
  assert.equal(judge({ versionId: 'null' }, { versionId: null }).verdict, 'intact');
  assert.equal(judge({ versionId: null }, { versionId: 'v1' }).verdict, 'intact');
});
