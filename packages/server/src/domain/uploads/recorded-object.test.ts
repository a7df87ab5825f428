import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
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

/** Completed in a bucket that keeps versions, or does not. */
async function completedUpload(versionId: string | null): Promise<{ bench: DomainBench; upload: Upload }> {
  const bench = new DomainBench(await openSqliteStore(':memory:'));
  bench.bucket.distort = (facts) => ({ ...facts, versionId });
  const { upload } = await bench.completing();
  return { bench, upload: await bench.reaches(upload.uploadId, 'completed') };
}

for (const [what, next, keyState] of [
  ['deleted', undefined, 'nothing'],
  ['overwritten', others, 'other'],
] as const) {
  test(`a key that was ${what} leaves the recorded version, to be verified and fetched`, async () => {
    const { bench, upload } = await completedUpload('v1');
    await using _ = bench;
    bench.bucket.supersede(upload.key, next);
    const report = await bench.domain.verifier.verify(upload.uploadId, 'auditor');
    assert.equal(report.verdict, 'intact');
    assert.equal(report.keyState, keyState);
    const url = await bench.domain.uploads.contentUrl(upload.uploadId, 'operator-1');
    assert.match(url, /versionId=v1$/);
  });

  test(`once its key was ${what} and its version removed, the object is gone, and the answer says so`, async () => {
    const { bench, upload } = await completedUpload('v1');
    await using _ = bench;
    bench.bucket.supersede(upload.key, next);
    bench.bucket.olderVersions.clear();
    const report = await bench.domain.verifier.verify(upload.uploadId, 'auditor');
    assert.equal(report.verdict, next === undefined ? 'missing' : 'altered');
    assert.equal(report.keyState, keyState);
    await assert.rejects(bench.domain.uploads.contentUrl(upload.uploadId, 'operator-1'), {
      code: 'object_not_found',
      message:
        next === undefined ? /recorded version v1\.$/ : /recorded version v1; another object is at its key/,
    });
  });

  test(`deleted with its object after its key was ${what}, only the recorded version goes`, async () => {
    const { bench, upload } = await completedUpload('v1');
    await using _ = bench;
    bench.bucket.supersede(upload.key, next);
    await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
    assert.deepEqual(bench.bucket.olderVersions.get(upload.key), []);
    assert.equal(bench.bucket.objects.get(upload.key), next);
  });
}

test('the id “null” is of whatever was written last without versions: that is not deleted by its id alone', async () => {
  const { bench, upload } = await completedUpload('null');
  await using _ = bench;
  const foreign = { ...others, versionId: 'null' };
  bench.bucket.objects.set(upload.key, foreign);
  await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
  assert.equal(bench.bucket.objects.get(upload.key), foreign);
  assert.equal(bench.bucket.count('deleteObject'), 0);
});

test('an object from before its bucket kept versions is found under the id “null”', async () => {
  const { bench, upload } = await completedUpload(null);
  await using _ = bench;
  const own = bench.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  bench.bucket.objects.set(upload.key, { ...own, versionId: 'null' });
  bench.bucket.supersede(upload.key, others);
  assert.equal((await bench.domain.verifier.verify(upload.uploadId, 'auditor')).verdict, 'intact');
  assert.match(await bench.domain.uploads.contentUrl(upload.uploadId, 'operator-1'), /versionId=null$/);
});

test('an object that is as it was recorded costs one HEAD', async () => {
  const { bench, upload } = await completedUpload('v1');
  await using _ = bench;
  const heads = bench.bucket.count('head');
  await bench.domain.verifier.verify(upload.uploadId, 'auditor');
  assert.equal(bench.bucket.count('head'), heads + 1);
});
