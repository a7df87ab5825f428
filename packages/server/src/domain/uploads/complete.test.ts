import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { completed } from '../agents/handlers/endings.ts';
import { partsReady, partUploaded } from '../agents/handlers/parts.ts';
import { prepared, resumed } from '../agents/handlers/prepared.ts';
import { createDomain } from '../create-domain.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../test/harness/server/domain-fixture.ts';
import {
  announce,
  completedMessage,
  type FakeAgent,
  fakeCrc32,
  partsReadyMessage,
  partUploadedMessage,
  preparedMessage,
  resumedMessage,
  uploadedParts,
} from '../../../../../test/doubles/fake-agent.ts';
import { etagOf } from '../../../../../test/doubles/fake-bucket.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { sampleAudit, sampleUploadIn } from '../../../../../test/harness/server/sample-upload.ts';
import type { Store } from '../ports/store.ts';
import { MAX_GIVEN_UP, MAX_RESTARTS } from './requeue.ts';
import { combineCrc32 } from './expected-object.ts';
import type { Upload } from './upload.ts';

const MiB = 1024 * 1024;
const FILE_CRC32 = combineCrc32(
  [5 * MiB, 5 * MiB, 2 * MiB].map((sizeBytes, index) => ({ sizeBytes, crc32: fakeCrc32(index + 1) })),
);

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

test('a completed upload carries the object’s attributes from the store', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(record.crc32, FILE_CRC32);
  assert.equal(record.etag, '"object-3"');
  assert.equal(record.verification, 'full_object');
  assert.equal(record.serverSideEncryption, 'AES256');
  assert.equal(record.multipartOpen, false);
  assert.equal(record.uploadDurationMs, 1234);
  assert.deepEqual(await fixture.store.listParts(upload.uploadId), [], 'the parts table is cleared');
  assert.equal(fixture.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

/** An upload of an empty file whose agent has reported completion. */
async function emptyCompleting(fixture: DomainFixture, capabilities: string[]) {
  const agent = await fixture.connect('client-1', { capabilities });
  const { uploadId } = await fixture.trigger();
  const asked = await fixture.reaches(uploadId, 'preparing');
  await prepared(fixture.context, agent.session, preparedMessage(asked, { size: 0 }));
  const upload = await fixture.reaches(uploadId, 'uploading');
  const [download] = agent.connection.sent('download_file');
  const config = download?.upload_config;
  const sendsPart = config?.kind === 'multipart';
  if (sendsPart) fixture.bucket.put(upload.s3UploadId, 1);
  const parts = sendsPart ? uploadedParts([1]) : [];
  await completed(fixture.context, agent.session, completedMessage(upload, { size: 0, parts }));
  return { agent, upload, config };
}

for (const [who, capabilities, kind] of [
  ['an agent that leaves it to the server', ['resume', 'empty_object'], 'empty'],
  ['an old agent, which sends an empty part', ['resume'], 'multipart'],
] as const) {
  test(`the object of an empty file is written by the server: ${who}`, async () => {
    await using fixture = await openFixture();
    const { upload, config } = await emptyCompleting(fixture, [...capabilities]);
    await fixture.reaches(upload.uploadId, 'completed');
    await fixture.until(
      async () => !(await fixture.upload(upload.uploadId)).multipartOpen,
      'the end of the multipart upload',
    );
    const record = await fixture.upload(upload.uploadId);
    assert.equal(config?.kind, kind);
    assert.equal(config.presigned_urls?.length, kind === 'empty' ? 0 : 1);
    assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
    assert.equal(fixture.bucket.objects.get(upload.key)?.token, upload.objectToken);
    assert.equal(fixture.bucket.uploads.size, 0, 'no multipart upload is left');
    assert.deepEqual(
      [record.sizeBytes, record.partsCompleted, record.verification, record.crc32, record.multipartOpen],
      [0, 1, 'full_object', 'AAAAAA==', false],
    );
  });
}

test('an empty object whose response was lost succeeds by HEAD and token; a foreign object does not', async () => {
  const both = ['resume', 'empty_object'];
  await using lost = await openFixture();
  lost.bucket.fail('putEmptyObject', 'unavailable', { afterEffect: true });
  lost.bucket.fail('head', 'unavailable');
  const { upload } = await emptyCompleting(lost, both);
  await lost.reaches(upload.uploadId, 'completed');
  assert.equal(lost.bucket.faultsFired, 2);
  await using taken = await openFixture();
  const go = taken.bucket.hold('putEmptyObject');
  const { upload: other } = await emptyCompleting(taken, both);
  await taken.until(() => taken.bucket.count('putEmptyObject') === 1, 'PutObject');
  assert.equal((await taken.upload(other.uploadId)).status, 'completing', 'durable first');
  const facts = { sizeBytes: 0, etag: '"x"', versionId: null, crc32: null };
  const foreign = { ...facts, token: 'not ours', serverSideEncryption: null, storageClass: null };
  taken.bucket.objects.set(other.key, foreign);
  go();
  const record = await taken.reaches(other.uploadId, 'failed');
  assert.equal(record.error, 'storage_refused');
  assert.equal(taken.bucket.objects.get(other.key), foreign);
});

test('the empty object of a failed or cancelled upload is removed', async () => {
  for (const isCancelled of [false, true]) {
    await using fixture = await openFixture({ settings: { lifetimeMs: 60_000 } });
    const release = fixture.bucket.hold('putEmptyObject');
    fixture.bucket.fail('putEmptyObject', 'unavailable', { times: 1000, afterEffect: true });
    fixture.bucket.fail('head', 'unavailable', { times: 1000 });
    const { upload } = await emptyCompleting(fixture, ['resume', 'empty_object']);
    const cancelling = isCancelled ? fixture.domain.uploads.cancel(upload.uploadId, 'operator-2') : undefined;
    await fixture.idle();
    release();
    await cancelling;
    await fixture.reaches(upload.uploadId, isCancelled ? 'cancelled' : 'failed');
    assert.equal(fixture.bucket.objects.size, 1);
    fixture.bucket.recover();
    await fixture.sweep();
    assert.equal(fixture.bucket.objects.size, 0, isCancelled ? 'cancelled' : 'failed');
    assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, false);
  }
});

test('an otherwise healthy store is not asked for an empty object until the deadline', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('putEmptyObject', 'unavailable', { times: 1000, s3Code: 'InternalError' });
  const { upload } = await emptyCompleting(fixture, ['resume', 'empty_object']);
  const queued = await fixture.reaches(upload.uploadId, 'queued');
  assert.equal(queued.restarts, 1);
  assert.match(queued.stalledReason ?? '', /putEmptyObject/);
});

test('a restarted empty file starts from scratch, and a repeated message is ignored', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect('client-1', { capabilities: ['resume', 'empty_object'] });
  const { uploadId } = await fixture.trigger();
  const first = await fixture.reaches(uploadId, 'preparing');
  const message = preparedMessage(first, { size: 0 });
  await prepared(fixture.context, agent.session, message);
  await prepared(fixture.context, agent.session, message);
  await partsReady(fixture.context, agent.session, partsReadyMessage(first, announce(0)));
  assert.equal(agent.connection.sent('download_file').length, 2);
  assert.equal(agent.connection.sent('part_urls').length, 0);
  const again = await fixture.connect('client-1', { capabilities: ['resume', 'empty_object'] });
  const second = await fixture.reaches(uploadId, 'preparing');
  assert.equal(second.attempt, 2);
  await prepared(fixture.context, again.session, preparedMessage(second, { size: 0 }));
  await completed(fixture.context, again.session, completedMessage(second, { size: 0, parts: [] }));
  await fixture.reaches(uploadId, 'completed');
  assert.equal(fixture.bucket.count('createMultipartUpload'), 0);
});

test('completing is durable before the store is called', async () => {
  await using fixture = await openFixture();
  const go = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  await fixture.until(() => fixture.bucket.count('completeMultipartUpload') === 1, 'Complete');
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
  go();
  await fixture.reaches(upload.uploadId, 'completed');
});

for (const kind of ['unavailable', 'upload_gone', 'refused'] as const) {
  test(`a Complete that took effect but returned ${kind} succeeds by HEAD and token`, async () => {
    await using fixture = await openFixture();
    fixture.bucket.fail('completeMultipartUpload', kind, { afterEffect: true });
    const { upload } = await fixture.completing();
    await fixture.reaches(upload.uploadId, 'completed');
    assert.equal(fixture.bucket.faultsFired, 1);
    assert.equal(fixture.bucket.count('completeMultipartUpload'), 1, 'not retried blindly');
  });
}

test('a lost response whose HEAD fails too is resolved by the next try', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  fixture.bucket.fail('head', 'unavailable');
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(fixture.bucket.faultsFired, 2);
});

test('a Complete that did not take effect is retried', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { times: 3 });
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(fixture.bucket.faultsFired, 3);
  assert.equal(fixture.clock.slept.length, 3);
  for (const [tries, ms] of fixture.clock.slept.entries())
    assert.ok(ms <= 500 * 2 ** tries, 'backs off with jitter');
});

test('during an outage of the store the record shows it with the time of the next try; afterwards it is cleared', async () => {
  const waiting: Upload[] = [];
  await using fixture: DomainFixture = await openFixture({
    sleep: async (ms, signal) => {
      const [upload] = await fixture.store.listUploads({ limit: 1 });
      assert.ok(upload !== undefined);
      waiting.push(upload);
      assert.equal(upload.nextAttemptAt, Math.round(fixture.clock.now() + ms));
      await fixture.clock.sleep(ms, signal);
    },
  });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { times: 2 });
  const { upload } = await fixture.completing();
  const { stalledSince, stalledReason, nextAttemptAt } = await fixture.reaches(upload.uploadId, 'completed');
  assert.deepEqual([stalledSince, stalledReason, nextAttemptAt], [null, null, null]);
  assert.equal(waiting.length, 2);
  assert.equal(waiting[1]?.stalledSince, waiting[0]?.stalledSince);
  for (const { status, stalledReason: reason } of waiting) {
    assert.equal(status, 'completing');
    assert.match(reason ?? '', /^Waiting for the object store: /);
  }
});

test('the delay between tries never exceeds its ceiling', async () => {
  await using fixture = await openFixture({ settings: { maxBackoffMs: 700 } });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { times: 40 });
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(fixture.clock.slept.length, 40);
  assert.ok(Math.max(...fixture.clock.slept) <= 700);
});

test('a store that stays unavailable until the deadline ends the upload with storage_unavailable', async () => {
  await using fixture = await openFixture({ settings: { lifetimeMs: 600_000 } });
  for (const operation of ['completeMultipartUpload', 'head'] as const) {
    fixture.bucket.fail(operation, 'unavailable', { times: 2000 });
  }
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_unavailable');
  assert.match(record.message ?? '', /All parts were sent/);
  assert.ok(fixture.clock.now() > upload.expiresAt, 'not before the deadline');
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('a foreign object at the key is never taken for the file or for the result of Complete', async () => {
  for (const conditionalComplete of [true, false]) {
    await using fixture = await openFixture();
    fixture.bucket.supports = { ...fixture.bucket.supports, conditionalComplete };
    const { upload } = await fixture.uploading();
    const foreign = {
      sizeBytes: 12 * MiB,
      etag: '"foreign"',
      versionId: null,
      token: 'token of an older attempt',
      crc32: FILE_CRC32,
      serverSideEncryption: null,
      storageClass: null,
    };
    fixture.bucket.objects.set(upload.key, foreign);
    fixture.bucket.fail('completeMultipartUpload', conditionalComplete ? 'object_exists' : 'upload_gone');
    const { session } = await fixture.connect('client-1', {
      running: [{ upload_id: upload.uploadId, attempt: 1 }],
    });
    await completed(fixture.context, session, completedMessage(upload));
    if (conditionalComplete) {
      assert.equal((await fixture.reaches(upload.uploadId, 'failed')).error, 'storage_refused');
    } else {
      assert.equal((await fixture.reaches(upload.uploadId, 'queued')).restarts, 1);
    }
    assert.equal(fixture.bucket.faultsFired, 1);
    assert.equal(fixture.bucket.objects.get(upload.key), foreign, 'and it is not deleted');
  }
});

test('an object without a token is not ours', async () => {
  await using fixture = await openFixture();
  fixture.bucket.distort = (facts) => ({ ...facts, token: null });
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_refused');
  assert.match(record.message ?? '', /token/);
});

test('a store that reports object_exists for our own object has completed it', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('completeMultipartUpload', 'object_exists', { afterEffect: true });
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(fixture.bucket.faultsFired, 1);
});

test('an object that HEAD does not show is missing, never a file of size 0', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('completeMultipartUpload', 'object_exists');
  const { upload } = await fixture.completing();
  assert.equal((await fixture.reaches(upload.uploadId, 'failed')).error, 'storage_refused');
  assert.equal(fixture.bucket.faultsFired, 1);
});

for (const [what, distortion] of [
  ['size', { sizeBytes: 12 * MiB - 1 }],
  ['CRC32', { crc32: 'AAAAAA==' }],
] as const) {
  test(`an object with the wrong ${what} is removed and the upload fails with checksum_mismatch`, async () => {
    await using fixture = await openFixture();
    fixture.bucket.distort = (facts) => ({ ...facts, ...distortion });
    const { upload } = await fixture.completing();
    const record = await fixture.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'checksum_mismatch');
    assert.match(record.message ?? '', /was removed/);
    assert.equal(fixture.bucket.objects.size, 0);
  });
}

test('an object of the wrong size is removed even if the store was unavailable at first', async () => {
  await using fixture = await openFixture();
  fixture.bucket.distort = (facts) => ({ ...facts, sizeBytes: 1 });
  fixture.bucket.fail('deleteObject', 'unavailable', { times: 2 });
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(fixture.bucket.faultsFired, 2);
  assert.equal(record.error, 'checksum_mismatch');
  assert.equal(fixture.bucket.objects.size, 0);
});

test('an object of the wrong size that cannot be removed is reported as still there', async () => {
  await using fixture = await openFixture();
  fixture.bucket.distort = (facts) => ({ ...facts, sizeBytes: 1 });
  fixture.bucket.fail('deleteObject', 'refused');
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'checksum_mismatch');
  assert.match(record.message ?? '', /could not be removed yet/);
  await fixture.sweep();
  assert.equal(fixture.bucket.objects.size, 0, 'and is removed with the next sweep');
});

test('a store that refuses HEAD ends the upload instead of leaving it completing forever', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('head', 'refused');
  const { upload } = await fixture.completing();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_refused');
  assert.match(record.message ?? '', /head: refused/);
});

/** Resumes the upload with the parts the store has, sends `missing` and reports completion. */
async function nextAttempt(
  fixture: DomainFixture,
  agent: FakeAgent,
  missing: readonly number[],
): Promise<void> {
  const [{ uploadId } = { uploadId: '' }] = await fixture.store.listUploads({ limit: 1 });
  const { nextAttemptAt } = await fixture.reaches(uploadId, 'queued');
  fixture.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - fixture.clock.now()));
  fixture.context.dispatcher.schedule('client-1');
  const upload = await fixture.reaches(uploadId, 'preparing');
  const asked = agent.connection.sent('prepare_upload').at(-1)?.resume?.kept_parts ?? [];
  assert.deepEqual(
    asked.map(({ part_number: number }) => number),
    [1, 2, 3].filter((number) => !missing.includes(number)),
  );
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  if (missing.length > 0) {
    const ready = partsReadyMessage(upload, announce(12 * MiB, missing));
    await partsReady(fixture.context, agent.session, ready);
    for (const partNumber of missing) fixture.bucket.put(upload.s3UploadId, partNumber);
    await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, missing));
  }
  const last = completedMessage(upload, { parts: uploadedParts(missing), resumed: true });
  await completed(fixture.context, agent.session, last);
}

test('a part overwritten by another PUT is sent again, and then the upload completes', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  // A late PUT of an earlier attempt.
  fixture.bucket.put(upload.s3UploadId, 2, { etag: '"other"', crc32: fakeCrc32(9) });
  await completed(fixture.context, agent.session, completedMessage(upload, { sha256: 'd'.repeat(64) }));
  const record = await fixture.reaches(upload.uploadId, 'queued');
  assert.deepEqual([record.attempt, record.refusedCompletions, record.restarts], [2, 1, 0]);
  assert.match(record.stalledReason ?? '', /does not accept the parts: part 2/);
  assert.deepEqual([record.sha256, record.uploadDurationMs], [null, null], 'reset');
  await nextAttempt(fixture, agent, [2]);
  const end = await fixture.reaches(upload.uploadId, 'completed');
  assert.deepEqual([end.crc32, end.partsCompleted, end.bytesUploaded], [FILE_CRC32, 3, 12 * MiB]);
  assert.equal(fixture.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

for (const [what, missing] of [
  ['that it has exactly as announced', []],
  ['of which one has to be sent again each time', [2]],
] as const) {
  test(`a store that keeps refusing parts ${what} eventually ends the upload`, async () => {
    await using fixture = await openFixture();
    fixture.bucket.fail('completeMultipartUpload', 'invalid_parts', { times: 100 });
    const { agent, upload } = await fixture.completing();
    for (let refusals = 1; refusals <= 3; refusals += 1) {
      for (const partNumber of missing)
        fixture.bucket.put(upload.s3UploadId, partNumber, { crc32: null, etag: '"lost"' });
      await nextAttempt(fixture, agent, missing);
    }
    const record = await fixture.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'checksum_mismatch');
    assert.equal(fixture.bucket.count('completeMultipartUpload'), 4);
    assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
  });
}

test('an upload without multipart upload and without object starts over', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.loseUploads();
  await completed(fixture.context, agent.session, completedMessage(upload));
  const record = await fixture.reaches(upload.uploadId, 'queued');
  assert.deepEqual([record.restarts, record.s3UploadId, record.objectToken], [1, null, null]);
  assert.deepEqual(await fixture.store.listParts(upload.uploadId), []);
  fixture.clock.advance(1000);
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  await prepared(fixture.context, agent.session, preparedMessage(again));
  const uploading = await fixture.upload(upload.uploadId);
  for (const partNumber of [1, 2, 3]) fixture.bucket.put(uploading.s3UploadId, partNumber);
  await completed(fixture.context, agent.session, completedMessage(again));
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(fixture.bucket.objects.get(upload.key)?.token, uploading.objectToken);
});

test('an upload whose multipart upload always disappears ends eventually', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  for (let restarts = 0; restarts <= MAX_RESTARTS; restarts += 1) {
    const current = await fixture.reaches(upload.uploadId, 'preparing');
    assert.equal(current.restarts, restarts);
    await prepared(fixture.context, agent.session, preparedMessage(current));
    fixture.bucket.loseUploads();
    await completed(fixture.context, agent.session, completedMessage(current));
    await fixture.until(
      async () => (await fixture.upload(upload.uploadId)).status !== 'completing',
      'an outcome',
    );
    fixture.clock.advance(60_000);
    fixture.context.dispatcher.schedule('client-1');
  }
  assert.equal((await fixture.reaches(upload.uploadId, 'failed')).error, 'upload_gone');
});

/** Lets the agent send the whole file once more, in another multipart upload. */
async function sendAgain(fixture: DomainFixture, agent: FakeAgent, uploadId: string): Promise<void> {
  const { nextAttemptAt } = await fixture.reaches(uploadId, 'queued');
  fixture.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - fixture.clock.now()));
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(uploadId, 'preparing');
  await prepared(fixture.context, agent.session, preparedMessage(again));
  const { s3UploadId } = await fixture.upload(uploadId);
  for (const partNumber of [1, 2, 3]) fixture.bucket.put(s3UploadId, partNumber);
  await completed(fixture.context, agent.session, completedMessage(again));
}

test('parts that an otherwise healthy store does not complete are given up, and the file is sent again', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.breakUpload(upload.s3UploadId);
  await completed(fixture.context, agent.session, completedMessage(upload));
  const queued = await fixture.reaches(upload.uploadId, 'queued');
  const tries = fixture.bucket.count('completeMultipartUpload');
  assert.ok(tries >= 6 && tries < 30, `${tries} tries`);
  assert.ok(fixture.clock.now() - upload.updatedAt >= 30_000, 'not before half a minute');
  assert.match(queued.stalledReason ?? '', /keeps failing for the parts already sent/);
  assert.deepEqual([queued.restarts, queued.s3UploadId, queued.objectToken], [1, null, null]);
  assert.equal(fixture.bucket.uploads.size, 0, 'aborted before the next starts');
  await sendAgain(fixture, agent, upload.uploadId);
  const record = await fixture.reaches(upload.uploadId, 'completed');
  assert.notEqual(record.objectToken, upload.objectToken);
  assert.equal(fixture.bucket.objects.get(upload.key)?.token, record.objectToken);
});

test('parts are not given up while the store accepts no other upload either, or throttles', async () => {
  for (const s3Code of ['InternalError', 'SlowDown', 'SlowDownWrite']) {
    await using fixture = await openFixture({ settings: { lifetimeMs: 600_000 } });
    const { agent, upload } = await fixture.uploading();
    fixture.bucket.breakUpload(upload.s3UploadId, s3Code);
    if (s3Code === 'InternalError')
      fixture.bucket.fail('createMultipartUpload', 'unavailable', { times: 2000 });
    await completed(fixture.context, agent.session, completedMessage(upload));
    const record = await fixture.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'storage_unavailable');
    assert.equal(record.restarts, 0);
    assert.ok(fixture.clock.now() > upload.expiresAt, 'at the deadline');
  }
});

test('a Complete without response is retried longer than one that reports failure', async () => {
  for (const s3Code of [null, 'ServiceUnavailable']) {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.uploading();
    fixture.bucket.breakUpload(upload.s3UploadId, s3Code);
    await completed(fixture.context, agent.session, completedMessage(upload));
    await fixture.reaches(upload.uploadId, 'queued');
    const waitedMs = fixture.clock.now() - upload.updatedAt;
    assert.ok(waitedMs >= 30 * 60_000 && waitedMs < 60 * 60_000, `${s3Code}: ${waitedMs} ms`);
  }
});

test('a Complete that takes effect when its parts are given up succeeds', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.breakUpload(upload.s3UploadId);
  const abort = fixture.bucket.abortMultipartUpload.bind(fixture.bucket);
  fixture.bucket.abortMultipartUpload = async (multipart, options) => {
    if (multipart.s3UploadId === upload.s3UploadId) fixture.bucket.completeLate(upload.s3UploadId);
    await abort(multipart, options);
  };
  await completed(fixture.context, agent.session, completedMessage(upload));
  const record = await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(record.objectToken, upload.objectToken);
  assert.equal(record.restarts, 0);
});

test('a store that breaks every multipart upload of a file ends the upload after a few', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.breakUpload(upload.s3UploadId);
  await completed(fixture.context, agent.session, completedMessage(upload));
  for (let restarts = 1; restarts <= MAX_GIVEN_UP; restarts += 1) {
    assert.equal((await fixture.reaches(upload.uploadId, 'queued')).restarts, restarts);
    fixture.bucket.breakNextUpload();
    await sendAgain(fixture, agent, upload.uploadId);
  }
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_unavailable');
  assert.match(record.message ?? '', /although it accepts new uploads.*Restarted 3 times/);
  assert.equal(fixture.bucket.objects.size, 0);
});

test('a store that reports another checksum gives checksum_mismatch', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('completeMultipartUpload', 'checksum_mismatch');
  const { upload } = await fixture.completing();
  assert.equal((await fixture.reaches(upload.uploadId, 'failed')).error, 'checksum_mismatch');
  assert.equal(fixture.bucket.faultsFired, 1);
});

test('the verification level depends on what the store confirmed', async () => {
  for (const [checksumMode, fullObjectChecksum, verification] of [
    ['crc32', true, 'full_object'],
    ['crc32', false, 'parts'],
    ['none', false, 'size_only'],
  ] as const) {
    await using fixture = await openFixture();
    fixture.bucket.supports = { ...fixture.bucket.supports, checksumMode, fullObjectChecksum };
    const { upload } = await fixture.completing();
    assert.equal((await fixture.reaches(upload.uploadId, 'completed')).verification, verification);
  }
});

test('a part that was never reported as sent stops the completion before the store is called', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: uploadedParts([1, 3]) }));
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'protocol_error');
  assert.match(record.message ?? '', /part 2/);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
});

for (const [what, part, complaint] of [
  ['of another length than the plan’s', { partNumber: 2, sizeBytes: 5 * MiB - 1 }, /part 2/],
  ['beyond the plan’s last', { partNumber: 4, sizeBytes: 1 }, /part 4/],
] as const) {
  test(`a part ${what} stops the completion before the store is called`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.preparing();
    const others = [1, 2, 3].filter((partNumber) => partNumber !== part.partNumber);
    const first = preparedMessage(upload, { parts: announce(12 * MiB, others) });
    await prepared(fixture.context, agent.session, first);
    // Bypasses the handlers, which would refuse it.
    await fixture.store.announceParts(upload.uploadId, [
      { ...part, crc32: fakeCrc32(9), sha256: null, md5: null },
    ]);
    await fixture.store.recordUploadedParts(upload.uploadId, [{ partNumber: part.partNumber, etag: '"x"' }]);
    await completed(fixture.context, agent.session, completedMessage(upload));
    const record = await fixture.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'protocol_error');
    assert.match(record.message ?? '', complaint);
    assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
  });
}

test('closed during a delay, the row stays completing, and the next start finishes it', async () => {
  const store = await openSqliteStore(':memory:');
  const asleep = Promise.withResolvers<void>();
  await using fixture = new DomainFixture(store, {
    sleep: (_ms, signal) => {
      asleep.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    },
  });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable');
  const { upload } = await fixture.completing();
  await asleep.promise;
  await fixture.context.completion.close();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');

  fixture.context.completion.start(upload.uploadId);
  await fixture.idle();
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1, 'a closed one starts nothing');

  const next = nextRun(fixture);
  await next.sweeper.sweep();
  await fixture.reaches(upload.uploadId, 'completed');
});

test('closed during a store call, the row stays completing, and the next start finishes it', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  await fixture.until(() => fixture.bucket.count('completeMultipartUpload') === 1, 'Complete');
  await fixture.context.completion.close();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
  assert.equal(fixture.log.has('completion interrupted'), false, 'a close is not a fault');
  release();
  const next = nextRun(fixture);
  next.transfers.completion.start(upload.uploadId);
  await fixture.reaches(upload.uploadId, 'completed');
});

test('a call aborted by the close does not count as an outage, not even past the deadline', async () => {
  await using fixture = await openFixture();
  fixture.bucket.hold('head');
  const { upload } = await fixture.completing();
  await fixture.until(() => fixture.bucket.count('head') === 1, 'HEAD');
  fixture.clock.advance(100 * 24 * 3_600_000);
  await fixture.context.completion.close();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
});

test('an outcome that loses the guard is not reported', async () => {
  const isRace = { on: false };
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) =>
      isRace.on && upload.status === 'completed' ? false : real.saveUpload(upload, save),
  });
  await using fixture = new DomainFixture(store);
  isRace.on = true;
  const { upload } = await fixture.completing();
  await fixture.until(() => fixture.log.has('completion interrupted'), 'the lost guard');
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
  assert.ok(!fixture.changes.some(({ after }) => after.status === 'completed'), 'no observer was called');
  assert.equal(fixture.log.has('upload completed'), false);

  isRace.on = false;
  fixture.context.completion.start(upload.uploadId);
  await fixture.reaches(upload.uploadId, 'completed');
});

/** An upload whose parts were all sent, as the last run of the server left it. */
async function leftCompleting(fixture: DomainFixture): Promise<Upload> {
  const sample = sampleUploadIn('completing');
  const pending = { key: sample.key, token: sample.objectToken ?? '', checksumMode: 'crc32' } as const;
  const { s3UploadId } = await fixture.bucket.createMultipartUpload(pending);
  const upload = { ...sample, s3UploadId };
  await fixture.store.insertUpload(upload, sampleAudit());
  const parts = [5 * MiB, 5 * MiB, 2 * MiB].map((sizeBytes, index) => {
    const crc32 = fakeCrc32(index + 1);
    return { partNumber: index + 1, sizeBytes, crc32, sha256: null, md5: null };
  });
  await fixture.store.announceParts(upload.uploadId, parts);
  const toSign = parts.map((part) => ({ ...part, sha256: undefined, md5: undefined }));
  await fixture.bucket.signParts(upload, toSign, 'crc32');
  for (const { partNumber } of parts) fixture.bucket.put(s3UploadId, partNumber);
  await fixture.store.recordUploadedParts(
    upload.uploadId,
    parts.map(({ partNumber, crc32 }) => ({ partNumber, etag: etagOf(partNumber, crc32) })),
  );
  return upload;
}

test('after an outage sixteen uploads complete at once', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const uploads: Upload[] = [];
  for (let count = 0; count < 20; count += 1) uploads.push(await leftCompleting(fixture));
  await fixture.domain.sweeper.sweep();
  await fixture.until(() => fixture.bucket.count('completeMultipartUpload') === 16, 'sixteen');
  await fixture.idle();
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 16);
  release();
  for (const { uploadId } of uploads) await fixture.reaches(uploadId, 'completed');
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 20);
});

test('uploads that wait for their next try do not delay the others', async () => {
  const store = await openSqliteStore(':memory:');
  await using fixture = new DomainFixture(store, {
    sleep: (_ms, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      }),
  });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { times: 16 });
  for (let count = 0; count < 16; count += 1) await leftCompleting(fixture);
  await fixture.domain.sweeper.sweep();
  await fixture.until(() => fixture.bucket.faultsFired === 16, 'the faults');
  const { uploadId } = await leftCompleting(fixture);
  fixture.context.completion.start(uploadId);
  await fixture.reaches(uploadId, 'completed');
});

test('an internal error is retried until the deadline, and then ends the upload', async () => {
  const real = await openSqliteStore(':memory:');
  let faults = 0;
  const store = intercepted<Store>(real, {
    listParts: async (uploadId) => {
      if ((await real.getUpload(uploadId))?.status !== 'completing') return real.listParts(uploadId);
      faults += 1;
      return Promise.reject(new TypeError('a mistake'));
    },
  });
  await using fixture = new DomainFixture(store);
  const { upload } = await fixture.completing();
  await fixture.until(() => fixture.log.has('completion interrupted'), 'the fault');
  await fixture.idle();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
  fixture.clock.advance(upload.expiresAt - fixture.clock.now() + 1);
  await fixture.domain.sweeper.sweep();
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'internal_error');
  assert.equal(faults, 2);
});

test('a completion started twice runs once', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  fixture.context.completion.start(upload.uploadId);
  fixture.context.completion.start(upload.uploadId);
  await fixture.until(() => fixture.bucket.count('completeMultipartUpload') === 1, 'Complete');
  release();
  await fixture.reaches(upload.uploadId, 'completed');
  await fixture.idle();
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1);
  fixture.context.completion.start(upload.uploadId);
  await fixture.idle();
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1, 'an ended upload is left alone');
});

/** The domain as the next start of the server builds it, on the state of the last one. */
function nextRun({ store, bucket, bus, clock, log }: DomainFixture): ReturnType<typeof createDomain> {
  return createDomain({
    store,
    bucket,
    bus,
    clock,
    log,
    settings: {
      bucketName: bucket.name,
      keyPrefix: 'uploads',
      maxFileSize: null,
      limits: {},
      lifetimeMs: 1000,
      prepareTimeoutMs: 1000,
      maxBackoffMs: 1000,
    },
    retentionMs: 1_000_000_000,
    auditRetention: { retentionMs: 1_000_000_000, maxRows: 0 },
    orphanAgeMs: 3_600_000,
    observe: () => {},
    sleep: clock.sleep,
  });
}
