import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ChecksumMode } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { fakeCrc32 } from '../fakes/fake-agent.ts';
import { FakeBucket, etagOf } from '../fakes/fake-bucket.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { FakeLog } from '../fakes/fake-log.ts';
import { sampleAudit, sampleUploadIn } from '../fakes/sample-upload.ts';
import { BucketError, type ListedPart } from '../ports/bucket.ts';
import { RESUME_IS_OFF, findKeptParts } from './kept-parts.ts';

const digest = (algorithm: 'sha256' | 'md5', partNumber: number) =>
  createHash(algorithm).update(String(partNumber));
/** As stores make it of a part that nothing encrypts. */
const md5Etag = (partNumber: number) => `"${digest('md5', partNumber).digest('hex')}"`;

/** An interrupted upload of which three parts were announced and signed for, and none was sent. */
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
  const find = () => findKeptParts({ bucket, store, log }, upload);
  const numbers = async () => {
    const kept = await find();
    assert.ok(kept !== 'gone');
    return kept.map(({ partNumber }) => partNumber);
  };
  return { bucket, store, log, upload, put, find, numbers, [Symbol.asyncDispose]: () => store.close() };
}

for (const mode of ['crc32', 'sha256', 'md5'] as const) {
  test(`in mode ${mode} a part that the store holds as it was announced is kept, with its ETag`, async () => {
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

  test(`in mode ${mode} a part of another length is not kept`, async () => {
    await using setup = await interruptedUpload(mode);
    setup.put(1, { sizeBytes: 5_242_879 });
    setup.put(2);
    assert.deepEqual(await setup.numbers(), [2]);
  });

  test(`in mode ${mode} a part of another checksum, or of none, is not kept`, async () => {
    await using setup = await interruptedUpload(mode);
    const wrong = { crc32: fakeCrc32(9), sha256: digest('sha256', 9).digest('base64'), etag: md5Etag(9) };
    setup.put(1, wrong);
    setup.put(2, { crc32: null, sha256: null, etag: '"opaque"' });
    setup.put(3);
    assert.deepEqual(await setup.numbers(), [3]);
  });
}

test('what binds a part is the checksum of its mode, not another that happens to be right', async () => {
  await using sha256 = await interruptedUpload('sha256');
  sha256.put(1, { sha256: digest('sha256', 9).digest('base64') });
  assert.deepEqual(await sha256.numbers(), []);
  await using crc32 = await interruptedUpload('crc32');
  crc32.put(1, { etag: '"encrypted"', sha256: null });
  assert.deepEqual(await crc32.numbers(), [1]);
});

test('a part without checksum is kept with the size and the ETag that the agent reported, in every mode', async () => {
  for (const mode of ['crc32', 'sha256', 'md5', 'none'] as const) {
    await using setup = await interruptedUpload(mode);
    const bare = { crc32: null, sha256: null };
    setup.put(1, { ...bare, etag: '"opaque-1"' });
    setup.put(2, { ...bare, etag: '"opaque-2"' });
    setup.put(3, { ...bare, etag: '"opaque-3"', sizeBytes: 5_242_879 });
    await setup.store.recordUploadedParts(setup.upload.uploadId, [
      // Without quotes, as some stores answer the PUT.
      { partNumber: 1, etag: 'opaque-1' },
      { partNumber: 3, etag: '"opaque-3"' },
    ]);
    assert.deepEqual(await setup.numbers(), [1], `${mode}: 2 was not reported, 3 has another length`);
    setup.put(1, { ...bare, etag: '"sent again"' });
    assert.deepEqual(await setup.numbers(), [], `${mode}: another PUT came later`);
  }
});

test('a checksum that is listed decides, whatever the ETag says', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1, { crc32: fakeCrc32(9) });
  await setup.store.recordUploadedParts(setup.upload.uploadId, [
    { partNumber: 1, etag: etagOf(1, fakeCrc32(1)) },
  ]);
  assert.deepEqual(await setup.numbers(), []);
});

test('where the store shows nothing that proves a part, it is not asked, and the log says what that costs', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.honours = { ...setup.bucket.honours, partProof: 'none' };
  setup.bucket.fail('listParts', 'unavailable', { times: 100 });
  assert.deepEqual(await setup.find(), []);
  assert.ok(setup.log.has(RESUME_IS_OFF));
});

test('a part that is on no record is not kept', async () => {
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

test('a multipart upload that the store no longer has is gone', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.bucket.loseUploads();
  assert.equal(await setup.find(), 'gone');
});

test('a policy that does not allow to list costs the parts, and is said', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.fail('listParts', 'refused');
  assert.deepEqual(await setup.find(), []);
  assert.equal(setup.bucket.faultsFired, 1);
  assert.ok(setup.log.has('parts cannot be listed; all of them are sent again'));
});

test('a store that is away says nothing of the parts', async () => {
  await using setup = await interruptedUpload('crc32');
  setup.put(1);
  setup.bucket.fail('listParts', 'unavailable');
  await assert.rejects(setup.find(), (error) => error instanceof BucketError && error.kind === 'unavailable');
  assert.deepEqual(await setup.numbers(), [1]);
});

test('of an upload that was never begun nothing is asked', async () => {
  await using setup = await interruptedUpload('crc32');
  const { bucket, store, log } = setup;
  assert.deepEqual(await findKeptParts({ bucket, store, log }, sampleUploadIn('queued')), []);
  assert.equal(bucket.count('listParts'), 0);
});
