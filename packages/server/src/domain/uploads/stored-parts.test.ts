import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ChecksumMode } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { fakeCrc32 } from '../../../../../test/doubles/fake-agent.ts';
import { FakeBucket, etagOf } from '../../../../../test/doubles/fake-bucket.ts';
import { FakeClock } from '../../../../../test/doubles/fake-clock.ts';
import { FakeLog } from '../../../../../test/doubles/fake-log.ts';
import { sampleAudit, sampleUploadIn } from '../../../../../test/harness/server/sample-upload.ts';
import { BucketError, type ListedPart } from '../ports/bucket.ts';
import { RESUME_DISABLED, findStoredParts } from './stored-parts.ts';

const digest = (algorithm: 'sha256' | 'md5', partNumber: number) =>
  createHash(algorithm).update(String(partNumber));
/** The ETag of an unencrypted part. */
const md5Etag = (partNumber: number) => `"${digest('md5', partNumber).digest('hex')}"`;

/** An interrupted upload with three parts announced and signed for, none of them sent. */
async function interruptedUpload(checksumMode: ChecksumMode) {
  const bucket = new FakeBucket(new FakeClock());
  const store = await openSqliteStore(':memory:');
  const log = new FakeLog();
  const sample = sampleUploadIn('uploading');
  const { key } = sample;
  const { s3UploadId } = await bucket.createMultipartUpload({ key, token: 'token-1', checksumMode });
  const upload = { ...sample, s3UploadId, checksumMode };
  await store.insertUpload(upload, sampleAudit());
  const parts = [1, 2, 3].map((partNumber) => ({
    partNumber,
    sizeBytes: 5_242_880,
    crc32: fakeCrc32(partNumber),
    sha256: checksumMode === 'sha256' ? digest('sha256', partNumber).digest('base64') : null,
    md5: checksumMode === 'md5' ? digest('md5', partNumber).digest('base64') : null,
  }));
  await store.announceParts(upload.uploadId, parts);
  const toSign = parts.map((part) => ({
    ...part,
    sha256: part.sha256 ?? undefined,
    md5: part.md5 ?? undefined,
  }));
  await bucket.signParts(upload, toSign, checksumMode);
  const put = (partNumber: number, fields: Partial<ListedPart> = {}) => {
    const etag = checksumMode === 'md5' ? md5Etag(partNumber) : etagOf(partNumber, fakeCrc32(partNumber));
    bucket.put(s3UploadId, partNumber, { etag, ...fields });
  };
  const find = async () => findStoredParts({ bucket, log }, upload, await store.listParts(upload.uploadId));
  const numbers = async () => {
    const stored = await find();
    assert.ok(stored !== 'missing');
    return stored.map(({ partNumber }) => partNumber);
  };
  return { bucket, store, log, upload, put, find, numbers, [Symbol.asyncDispose]: () => store.close() };
}

for (const mode of ['crc32', 'sha256', 'md5'] as const) {
  test(`in mode ${mode} a part that the store lists as announced counts as stored, with its ETag`, async () => {
    await using setup = await interruptedUpload(mode);
    setup.put(1);
    setup.put(3);
    const etag = (partNumber: number) =>
      mode === 'md5' ? md5Etag(partNumber) : etagOf(partNumber, fakeCrc32(partNumber));
    assert.deepEqual(await setup.find(), [
      { partNumber: 1, etag: etag(1) },
      { partNumber: 3, etag: etag(3) },
    ]);
  });

  test(`in mode ${mode} a part of another length does not count as stored`, async () => {
    await using setup = await interruptedUpload(mode);
    setup.put(1, { sizeBytes: 5_242_879 });
    setup.put(2);
    assert.deepEqual(await setup.numbers(), [2]);
  });

  test(`in mode ${mode} a part with another checksum, or none, does not count as stored`, async () => {
    await using setup = await interruptedUpload(mode);
    const wrong = { crc32: fakeCrc32(9), sha256: digest('sha256', 9).digest('base64'), etag: md5Etag(9) };
    setup.put(1, wrong);
    setup.put(2, { crc32: null, sha256: null, etag: '"opaque"' });
    setup.put(3);
    assert.deepEqual(await setup.numbers(), [3]);
  });
}

test('a part is bound by the checksum of its mode, not by another that matches', async () => {
  await using sha256 = await interruptedUpload('sha256');
  sha256.put(1, { sha256: digest('sha256', 9).digest('base64') });
  assert.deepEqual(await sha256.numbers(), []);
  await using crc32 = await interruptedUpload('crc32');
  crc32.put(1, { etag: '"encrypted"', sha256: null });
  assert.deepEqual(await crc32.numbers(), [1]);
});

test('a part without checksum counts as stored with its size and the reported ETag, in every mode', async () => {
  for (const mode of ['crc32', 'sha256', 'md5', 'none'] as const) {
    await using setup = await interruptedUpload(mode);
    const bare = { crc32: null, sha256: null };
    setup.put(1, { ...bare, etag: '"opaque-1"' });
    setup.put(2, { ...bare, etag: '"opaque-2"' });
    setup.put(3, { ...bare, etag: '"opaque-3"', sizeBytes: 5_242_879 });
    await setup.store.recordUploadedParts(setup.upload.uploadId, [
      // Without quotes, as some stores return it for the PUT.
      { partNumber: 1, etag: 'opaque-1' },
      { partNumber: 3, etag: '"opaque-3"' },
    ]);
    assert.deepEqual(await setup.numbers(), [1], `${mode}: 2 was not reported, 3 has another length`);
    setup.put(1, { ...bare, etag: '"sent again"' });
    assert.deepEqual(await setup.numbers(), [], `${mode}: another PUT came later`);
  }
});

test('a listed checksum decides, whatever the ETag', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1, { crc32: fakeCrc32(9) });
  await setup.store.recordUploadedParts(setup.upload.uploadId, [
    { partNumber: 1, etag: etagOf(1, fakeCrc32(1)) },
  ]);
  assert.deepEqual(await setup.numbers(), []);
});

test('a store whose listing proves nothing is not asked, and the log reports the cost', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.supports = { ...setup.bucket.supports, partProof: 'none' };
  setup.bucket.fail('listParts', 'unavailable', { times: 100 });
  assert.deepEqual(await setup.find(), []);
  assert.ok(setup.log.has(RESUME_DISABLED));
});

test('a part without a record does not count as stored', async () => {
  await using setup = await interruptedUpload('crc32');
  await setup.bucket.signParts(
    setup.upload,
    [{ partNumber: 4, sizeBytes: 5_242_880, crc32: fakeCrc32(4) }],
    'crc32',
  );
  setup.put(2);
  setup.put(4);
  assert.deepEqual(await setup.numbers(), [2]);
});

test('a multipart upload that the store no longer has is missing', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.bucket.loseUploads();
  assert.equal(await setup.find(), 'missing');
});

test('a policy that forbids listing costs the parts and is logged', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.fail('listParts', 'refused');
  assert.deepEqual(await setup.find(), []);
  assert.equal(setup.bucket.faultsFired, 1);
  assert.ok(setup.log.has('parts cannot be listed; all of them are sent again'));
});

test('an unavailable store is an error, not a loss of parts', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.fail('listParts', 'unavailable');
  await assert.rejects(setup.find(), (error) => error instanceof BucketError && error.kind === 'unavailable');
  assert.deepEqual(await setup.numbers(), [1]);
});

test('an upload that was never started causes no listing', async () => {
  await using setup = await interruptedUpload('crc32');
  const { bucket, log } = setup;
  assert.deepEqual(await findStoredParts({ bucket, log }, sampleUploadIn('queued'), []), []);
  assert.equal(bucket.count('listParts'), 0);
});
