import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import type { ObjectFacts } from '../ports/bucket.ts';
import type { Upload } from './upload.ts';

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
async function completedUpload(
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
    const { fixture, upload } = await completedUpload('v1');
    await using _ = fixture;
    fixture.bucket.supersede(upload.key, next);
    const report = await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
    assert.equal(report.verdict, 'intact');
    assert.equal(report.keyState, keyState);
    const url = await fixture.domain.uploads.contentUrl(upload.uploadId, 'operator-1');
    assert.match(url, /versionId=v1$/);
  });

  test(`once the key was ${what} and the version removed, the object is reported missing`, async () => {
    const { fixture, upload } = await completedUpload('v1');
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
    const { fixture, upload } = await completedUpload('v1');
    await using _ = fixture;
    fixture.bucket.supersede(upload.key, next);
    await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
    assert.deepEqual(fixture.bucket.olderVersions.get(upload.key), []);
    assert.equal(fixture.bucket.objects.get(upload.key), next);
  });
}

test('the id “null” is the last unversioned write, which is not deleted by its id alone', async () => {
  const { fixture, upload } = await completedUpload('null');
  await using _ = fixture;
  const foreign = { ...others, versionId: 'null' };
  fixture.bucket.objects.set(upload.key, foreign);
  await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
  assert.equal(fixture.bucket.objects.get(upload.key), foreign);
  assert.equal(fixture.bucket.count('deleteObject'), 0);
});

test('an object from before versioning is found under the id “null”', async () => {
  const { fixture, upload } = await completedUpload(null);
  await using _ = fixture;
  const own = fixture.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  fixture.bucket.objects.set(upload.key, { ...own, versionId: 'null' });
  fixture.bucket.supersede(upload.key, others);
  assert.equal((await fixture.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'intact');
  assert.match(await fixture.domain.uploads.contentUrl(upload.uploadId, 'operator-1'), /versionId=null$/);
});

test('an unchanged object costs one HEAD', async () => {
  const { fixture, upload } = await completedUpload('v1');
  await using _ = fixture;
  const heads = fixture.bucket.count('head');
  await fixture.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(fixture.bucket.count('head'), heads + 1);
});
