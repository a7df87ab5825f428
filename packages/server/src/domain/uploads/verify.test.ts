import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { sampleUpload, sampleUploadIn } from '../../../../../test/harness/server/sample-upload.ts';
import type { ObjectFacts } from '../ports/bucket.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import type { Upload } from './upload.ts';
import { type VerificationResult, verifyObject } from './verify.ts';

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

async function openFixture(): Promise<{ fixture: DomainFixture; audits: AuditEvent[] }> {
  const audits: AuditEvent[] = [];
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    appendAudit: async (event) => {
      audits.push(event);
      return await real.appendAudit(event);
    },
  });
  return { fixture: new DomainFixture(store), audits };
}

async function completedUpload(fixture: DomainFixture): Promise<Upload> {
  const { upload } = await fixture.completing();
  return fixture.reaches(upload.uploadId, 'completed');
}

test('verifying a completed upload sends a HEAD, writes an audit event and changes nothing', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const upload = await completedUpload(fixture);
  const report = await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(report.verdict, 'intact');
  assert.equal(report.uploadId, upload.uploadId);
  assert.equal(report.checkedAt, fixture.clock.now());
  fixture.bucket.objects.delete(upload.key);
  assert.equal((await fixture.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'missing');
  assert.deepEqual(
    audits.map(({ action, actor, uploadId, detail }) => ({ action, actor, uploadId, detail })),
    [
      { verdict: 'intact', keyState: 'recorded' },
      { verdict: 'missing', keyState: 'nothing' },
    ].map((detail) => ({
      action: 'upload.verify',
      actor: 'auditor',
      uploadId: upload.uploadId,
      detail,
    })),
  );
  assert.deepEqual(await fixture.upload(upload.uploadId), upload);
});

test('an upload without a finished object is refused without calling the store', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const { upload } = await fixture.uploading();
  await assert.rejects(fixture.domain.verifier.verify(upload.uploadId, 'auditor'), {
    code: 'upload_not_completed',
    message: /uploading/,
  });
  await assert.rejects(fixture.domain.verifier.verify('019ab3c2-5f00-7000-8000-000000000001', 'auditor'), {
    code: 'upload_not_found',
  });
  assert.equal(fixture.bucket.count('head'), 0);
  assert.deepEqual(audits, []);
});

test('a store that does not respond gives no result', async () => {
  const { fixture, audits } = await openFixture();
  await using _ = fixture;
  const upload = await completedUpload(fixture);
  fixture.bucket.fail('head', 'unavailable');
  const fired = fixture.bucket.faultsFired;
  await assert.rejects(fixture.domain.verifier.verify(upload.uploadId, 'auditor'), { kind: 'unavailable' });
  assert.equal(fixture.bucket.faultsFired, fired + 1);
  assert.deepEqual(audits, []);
});

const others: ObjectFacts = {
  sizeBytes: 3,
  etag: '"other"',
  versionId: 'v2',
  token: null,
  crc32: null,
  serverSideEncryption: null,
  storageClass: null,
};

/** Completed in a bucket with or without versioning. */
async function completedVersion(
  versionId: string | null,
): Promise<{ fixture: DomainFixture; upload: Upload }> {
  const fixture = new DomainFixture(await openSqliteStore(':memory:'));
  fixture.bucket.distort = (facts) => ({ ...facts, versionId });
  const { upload } = await fixture.completing();
  return { fixture, upload: await fixture.reaches(upload.uploadId, 'completed') };
}

for (const [what, next, keyState] of [
  ['deleted', undefined, 'nothing'],
  ['overwritten', others, 'other'],
] as const) {
  test(`after the key was ${what}, the recorded version can still be verified and fetched`, async () => {
    const { fixture, upload } = await completedVersion('v1');
    await using _ = fixture;
    fixture.bucket.supersede(upload.key, next);
    const report = await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
    assert.equal(report.verdict, 'intact');
    assert.equal(report.keyState, keyState);
    const url = await fixture.domain.uploads.contentUrl(upload.uploadId, 'operator-1');
    assert.match(url, /versionId=v1$/);
  });

  test(`once the key was ${what} and the version removed, the object is reported missing`, async () => {
    const { fixture, upload } = await completedVersion('v1');
    await using _ = fixture;
    fixture.bucket.supersede(upload.key, next);
    fixture.bucket.olderVersions.clear();
    const report = await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
    assert.equal(report.verdict, next === undefined ? 'missing' : 'altered');
    assert.equal(report.keyState, keyState);
    await assert.rejects(fixture.domain.uploads.contentUrl(upload.uploadId, 'operator-1'), {
      code: 'object_not_found',
      message:
        next === undefined ? /recorded version v1\.$/ : /recorded version v1; another object is at its key/,
    });
  });

  test(`deleting the upload with its object after the key was ${what} removes only the recorded version`, async () => {
    const { fixture, upload } = await completedVersion('v1');
    await using _ = fixture;
    fixture.bucket.supersede(upload.key, next);
    await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
    assert.deepEqual(fixture.bucket.olderVersions.get(upload.key), []);
    assert.equal(fixture.bucket.objects.get(upload.key), next);
  });
}

test('the id “null” is the last unversioned write, which is not deleted by its id alone', async () => {
  const { fixture, upload } = await completedVersion('null');
  await using _ = fixture;
  const foreign = { ...others, versionId: 'null' };
  fixture.bucket.objects.set(upload.key, foreign);
  await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
  assert.equal(fixture.bucket.objects.get(upload.key), foreign);
  assert.equal(fixture.bucket.count('deleteObject'), 0);
});

test('an object from before versioning is found under the id “null”', async () => {
  const { fixture, upload } = await completedVersion(null);
  await using _ = fixture;
  const own = fixture.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  fixture.bucket.objects.set(upload.key, { ...own, versionId: 'null' });
  fixture.bucket.supersede(upload.key, others);
  assert.equal((await fixture.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'intact');
  assert.match(await fixture.domain.uploads.contentUrl(upload.uploadId, 'operator-1'), /versionId=null$/);
});

test('an unchanged object costs one HEAD', async () => {
  const { fixture, upload } = await completedVersion('v1');
  await using _ = fixture;
  const heads = fixture.bucket.count('head');
  await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(fixture.bucket.count('head'), heads + 1);
});
