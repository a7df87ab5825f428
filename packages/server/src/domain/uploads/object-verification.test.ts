import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleUpload, sampleUploadIn } from '../fakes/sample-upload.ts';
import type { ObjectFacts } from '../ports/bucket.ts';
import { type ObjectFinding, judgeObject } from './object-verification.ts';
import type { Upload } from './upload.ts';

const completed = sampleUploadIn('completed');

/** The object as it was when the upload completed, with what has become of it since. */
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

function judge(object: Partial<ObjectFacts>, upload: Partial<Upload> = {}): ObjectFinding {
  const own = objectOf(object);
  return judgeObject(sampleUpload({ ...completed, ...upload }), { own, current: own, keyState: 'recorded' });
}

function outcomes({ checks }: ObjectFinding): Record<string, boolean | null> {
  return Object.fromEntries(checks.map(({ name, ok }) => [name, ok]));
}

test('an object as it was recorded is intact, and its checksum makes sure of it', () => {
  const finding = judge({});
  assert.equal(finding.verdict, 'intact');
  assert.equal(finding.verification, 'full_object');
  assert.deepEqual(finding.checks, [
    { name: 'token', ok: true, expected: null, found: null },
    { name: 'size', ok: true, expected: '12582912', found: '12582912' },
    { name: 'crc32', ok: true, expected: 'AAAAAA==', found: 'AAAAAA==' },
    { name: 'etag', ok: true, expected: '"object-3"', found: '"object-3"' },
    { name: 'version_id', ok: null, expected: null, found: null },
  ]);
});

test('nothing at the key is a missing object, with nothing to check', () => {
  assert.deepEqual(judgeObject(completed, { own: undefined, current: undefined, keyState: 'nothing' }), {
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
  test(`an object with ${JSON.stringify(fields)} is altered, by its ${name} alone`, () => {
    const finding = judge({ versionId: 'v1', ...fields }, { versionId: 'v1' });
    assert.equal(finding.verdict, 'altered');
    const all = { token: true, size: true, crc32: true, etag: true, version_id: true };
    assert.deepEqual(outcomes(finding), { ...all, [name]: false });
  });
}

test('neither token is ever shown', () => {
  for (const token of ['token-1', 'token-2']) assert.doesNotMatch(JSON.stringify(judge({ token })), /token-/);
});

test('what the store does not keep is not compared, and makes less sure', () => {
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

test('the ETag of an object whose parts were never verified makes sure of its size only', () => {
  assert.equal(judge({ crc32: null }, { verification: 'size_only' }).verification, 'size_only');
});

test('a version that a bucket began to keep later is no alteration', () => {
  assert.equal(judge({ versionId: 'null' }, { versionId: null }).verdict, 'intact');
  assert.equal(judge({ versionId: null }, { versionId: 'v1' }).verdict, 'intact');
});
