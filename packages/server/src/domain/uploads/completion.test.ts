import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { completed } from '../agent-messages/completed.ts';
import { partUploaded } from '../agent-messages/part-uploaded.ts';
import { partsReady } from '../agent-messages/parts-ready.ts';
import { prepared } from '../agent-messages/prepared.ts';
import { resumed } from '../agent-messages/resumed.ts';
import { createDomain } from '../create-domain.ts';
import {
  type FakeAgent,
  announce,
  completedMessage,
  fakeCrc32,
  partUploadedMessage,
  partsReadyMessage,
  preparedMessage,
  resumedMessage,
  uploadedParts,
} from '../fakes/fake-agent.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { etagOf } from '../fakes/fake-bucket.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { sampleAudit, sampleUploadIn } from '../fakes/sample-upload.ts';
import { MAX_GIVEN_UP, MAX_RESTARTS } from './attempt-failure.ts';
import { combineCrc32 } from './combine-crc32.ts';
import type { Upload } from './upload.ts';

const MiB = 1024 * 1024;
const FILE_CRC32 = combineCrc32(
  [5 * MiB, 5 * MiB, 2 * MiB].map((sizeBytes, index) => ({ sizeBytes, crc32: fakeCrc32(index + 1) })),
);

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

test('a completed upload carries what the store says of the object', async () => {
  await using bench = await openBench();
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'completed');
  assert.equal(record.crc32, FILE_CRC32);
  assert.equal(record.etag, '"object-3"');
  assert.equal(record.verification, 'full_object');
  assert.equal(record.serverSideEncryption, 'AES256');
  assert.equal(record.multipartOpen, false);
  assert.equal(record.uploadDurationMs, 1234);
  assert.deepEqual(await bench.store.listParts(upload.uploadId), [], 'the parts table is done with');
  assert.equal(bench.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

/** An upload of an empty file whose agent has said that it is done. */
async function emptyCompleting(bench: DomainBench, capabilities: string[]) {
  const agent = await bench.connect('client-1', { capabilities });
  const { uploadId } = await bench.trigger();
  const asked = await bench.reaches(uploadId, 'preparing');
  await prepared(bench.context, agent.session, preparedMessage(asked, { size: 0 }));
  const upload = await bench.reaches(uploadId, 'uploading');
  const [download] = agent.connection.sent('download_file');
  const config = download?.upload_config;
  const sendsPart = config?.kind === 'multipart';
  if (sendsPart) bench.bucket.put(upload.s3UploadId, 1);
  const parts = sendsPart ? uploadedParts([1]) : [];
  await completed(bench.context, agent.session, completedMessage(upload, { size: 0, parts }));
  return { agent, upload, config };
}

for (const [who, capabilities, kind] of [
  ['an agent that leaves it to the server', ['resume', 'empty_object'], 'empty'],
  ['an agent of before, which sends an empty part', ['resume'], 'multipart'],
] as const) {
  test(`the object of an empty file is written by the server: ${who}`, async () => {
    await using bench = await openBench();
    const { upload, config } = await emptyCompleting(bench, [...capabilities]);
    await bench.reaches(upload.uploadId, 'completed');
    await bench.until(
      async () => !(await bench.upload(upload.uploadId)).multipartOpen,
      'the end of the multipart upload',
    );
    const record = await bench.upload(upload.uploadId);
    assert.equal(config?.kind, kind);
    assert.equal(config.presigned_urls?.length, kind === 'empty' ? 0 : 1);
    assert.equal(bench.bucket.count('completeMultipartUpload'), 0);
    assert.equal(bench.bucket.objects.get(upload.key)?.token, upload.objectToken);
    assert.equal(bench.bucket.uploads.size, 0, 'no multipart upload is left');
    assert.deepEqual(
      [record.sizeBytes, record.partsCompleted, record.verification, record.crc32, record.multipartOpen],
      [0, 1, 'full_object', 'AAAAAA==', false],
    );
  });
}

test('an empty object whose answer got lost is a success, by HEAD and token; somebody else’s is not', async () => {
  const both = ['resume', 'empty_object'];
  await using lost = await openBench();
  lost.bucket.fail('putEmptyObject', 'unavailable', { afterEffect: true });
  lost.bucket.fail('head', 'unavailable');
  const { upload } = await emptyCompleting(lost, both);
  await lost.reaches(upload.uploadId, 'completed');
  assert.equal(lost.bucket.faultsFired, 2);
  await using taken = await openBench();
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

test('an empty object of an upload that failed or was cancelled does not stay', async () => {
  for (const isCancelled of [false, true]) {
    await using bench = await openBench({ settings: { lifetimeMs: 60_000 } });
    const release = bench.bucket.hold('putEmptyObject');
    bench.bucket.fail('putEmptyObject', 'unavailable', { times: 1000, afterEffect: true });
    bench.bucket.fail('head', 'unavailable', { times: 1000 });
    const { upload } = await emptyCompleting(bench, ['resume', 'empty_object']);
    const cancelling = isCancelled ? bench.domain.uploads.cancel(upload.uploadId, 'operator-2') : undefined;
    await bench.settle();
    release();
    await cancelling;
    await bench.reaches(upload.uploadId, isCancelled ? 'cancelled' : 'failed');
    assert.equal(bench.bucket.objects.size, 1);
    bench.bucket.recover();
    await bench.sweep();
    assert.equal(bench.bucket.objects.size, 0, isCancelled ? 'cancelled' : 'failed');
    assert.equal((await bench.upload(upload.uploadId)).multipartOpen, false);
  }
});

test('a store that is well otherwise is not asked for an empty object until the deadline', async () => {
  await using bench = await openBench();
  bench.bucket.fail('putEmptyObject', 'unavailable', { times: 1000, s3Code: 'InternalError' });
  const { upload } = await emptyCompleting(bench, ['resume', 'empty_object']);
  const queued = await bench.reaches(upload.uploadId, 'queued');
  assert.equal(queued.restarts, 1);
  assert.match(queued.stalledReason ?? '', /putEmptyObject/);
});

test('an empty file that is begun anew keeps nothing of before, and a repeated message changes nothing', async () => {
  await using bench = await openBench();
  const agent = await bench.connect('client-1', { capabilities: ['resume', 'empty_object'] });
  const { uploadId } = await bench.trigger();
  const first = await bench.reaches(uploadId, 'preparing');
  const message = preparedMessage(first, { size: 0 });
  await prepared(bench.context, agent.session, message);
  await prepared(bench.context, agent.session, message);
  await partsReady(bench.context, agent.session, partsReadyMessage(first, announce(0)));
  assert.equal(agent.connection.sent('download_file').length, 2);
  assert.equal(agent.connection.sent('part_urls').length, 0);
  const again = await bench.connect('client-1', { capabilities: ['resume', 'empty_object'] });
  const second = await bench.reaches(uploadId, 'preparing');
  assert.equal(second.attempt, 2);
  await prepared(bench.context, again.session, preparedMessage(second, { size: 0 }));
  await completed(bench.context, again.session, completedMessage(second, { size: 0, parts: [] }));
  await bench.reaches(uploadId, 'completed');
  assert.equal(bench.bucket.count('createMultipartUpload'), 0);
});

test('completing is durable before the store is asked', async () => {
  await using bench = await openBench();
  const go = bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  await bench.until(() => bench.bucket.count('completeMultipartUpload') === 1, 'Complete');
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
  go();
  await bench.reaches(upload.uploadId, 'completed');
});

for (const kind of ['unavailable', 'upload_gone', 'refused'] as const) {
  test(`a Complete that took effect but answered ${kind} is a success, by HEAD and token`, async () => {
    await using bench = await openBench();
    bench.bucket.fail('completeMultipartUpload', kind, { afterEffect: true });
    const { upload } = await bench.completing();
    await bench.reaches(upload.uploadId, 'completed');
    assert.equal(bench.bucket.faultsFired, 1);
    assert.equal(bench.bucket.count('completeMultipartUpload'), 1, 'not repeated blindly');
  });
}

test('an answer lost together with the HEAD is settled in the next try', async () => {
  await using bench = await openBench();
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  bench.bucket.fail('head', 'unavailable');
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(bench.bucket.faultsFired, 2);
});

test('a Complete that was never carried out is tried again', async () => {
  await using bench = await openBench();
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { times: 3 });
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(bench.bucket.faultsFired, 3);
  assert.equal(bench.clock.slept.length, 3);
  for (const [tries, ms] of bench.clock.slept.entries())
    assert.ok(ms <= 500 * 2 ** tries, 'backs off with jitter');
});

test('while the store is away the record says so, and when it is asked again; afterwards nothing of it is left', async () => {
  const waiting: Upload[] = [];
  await using bench: DomainBench = await openBench({
    sleep: async (ms, signal) => {
      const [upload] = await bench.store.listUploads({ limit: 1 });
      assert.ok(upload !== undefined);
      waiting.push(upload);
      assert.equal(upload.nextAttemptAt, Math.round(bench.clock.now() + ms));
      await bench.clock.sleep(ms, signal);
    },
  });
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { times: 2 });
  const { upload } = await bench.completing();
  const { stalledSince, stalledReason, nextAttemptAt } = await bench.reaches(upload.uploadId, 'completed');
  assert.deepEqual([stalledSince, stalledReason, nextAttemptAt], [null, null, null]);
  assert.equal(waiting.length, 2);
  assert.equal(waiting[1]?.stalledSince, waiting[0]?.stalledSince);
  for (const { status, stalledReason: reason } of waiting) {
    assert.equal(status, 'completing');
    assert.match(reason ?? '', /^Waiting for the object store: /);
  }
});

test('the wait between tries never exceeds its ceiling', async () => {
  await using bench = await openBench({ settings: { maxBackoffMs: 700 } });
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { times: 40 });
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(bench.clock.slept.length, 40);
  assert.ok(Math.max(...bench.clock.slept) <= 700);
});

test('a store that stays away until the deadline ends the upload with storage_unavailable', async () => {
  await using bench = await openBench({ settings: { lifetimeMs: 600_000 } });
  for (const operation of ['completeMultipartUpload', 'head'] as const) {
    bench.bucket.fail(operation, 'unavailable', { times: 2000 });
  }
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_unavailable');
  assert.match(record.message ?? '', /All parts were sent/);
  assert.ok(bench.clock.now() > upload.expiresAt, 'not before the deadline');
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('an object of somebody else at the key is never taken for the file, nor for what Complete has made', async () => {
  for (const conditionalComplete of [true, false]) {
    await using bench = await openBench();
    bench.bucket.honours = { ...bench.bucket.honours, conditionalComplete };
    const { upload } = await bench.uploading();
    const foreign = {
      sizeBytes: 12 * MiB,
      etag: '"foreign"',
      versionId: null,
      token: 'token of an older attempt',
      crc32: FILE_CRC32,
      serverSideEncryption: null,
      storageClass: null,
    };
    bench.bucket.objects.set(upload.key, foreign);
    bench.bucket.fail('completeMultipartUpload', conditionalComplete ? 'object_exists' : 'upload_gone');
    const { session } = await bench.connect('client-1', {
      running: [{ upload_id: upload.uploadId, attempt: 1 }],
    });
    await completed(bench.context, session, completedMessage(upload));
    if (conditionalComplete) {
      assert.equal((await bench.reaches(upload.uploadId, 'failed')).error, 'storage_refused');
    } else {
      assert.equal((await bench.reaches(upload.uploadId, 'queued')).restarts, 1);
    }
    assert.equal(bench.bucket.faultsFired, 1);
    assert.equal(bench.bucket.objects.get(upload.key), foreign, 'and it is not deleted');
  }
});

test('an object without a token is not ours', async () => {
  await using bench = await openBench();
  bench.bucket.distort = (facts) => ({ ...facts, token: null });
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_refused');
  assert.match(record.message ?? '', /token/);
});

test('a store that says object_exists of our own object has completed it', async () => {
  await using bench = await openBench();
  bench.bucket.fail('completeMultipartUpload', 'object_exists', { afterEffect: true });
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(bench.bucket.faultsFired, 1);
});

test('an object that HEAD does not show is none, never a file of size 0', async () => {
  await using bench = await openBench();
  bench.bucket.fail('completeMultipartUpload', 'object_exists');
  const { upload } = await bench.completing();
  assert.equal((await bench.reaches(upload.uploadId, 'failed')).error, 'storage_refused');
  assert.equal(bench.bucket.faultsFired, 1);
});

for (const [what, distortion] of [
  ['size', { sizeBytes: 12 * MiB - 1 }],
  ['CRC32', { crc32: 'AAAAAA==' }],
] as const) {
  test(`an object of the wrong ${what} is removed, and the upload failed with checksum_mismatch`, async () => {
    await using bench = await openBench();
    bench.bucket.distort = (facts) => ({ ...facts, ...distortion });
    const { upload } = await bench.completing();
    const record = await bench.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'checksum_mismatch');
    assert.match(record.message ?? '', /was removed/);
    assert.equal(bench.bucket.objects.size, 0);
  });
}

test('an object of the wrong size is removed even if the store was away at first', async () => {
  await using bench = await openBench();
  bench.bucket.distort = (facts) => ({ ...facts, sizeBytes: 1 });
  bench.bucket.fail('deleteObject', 'unavailable', { times: 2 });
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(bench.bucket.faultsFired, 2);
  assert.equal(record.error, 'checksum_mismatch');
  assert.equal(bench.bucket.objects.size, 0);
});

test('an object of the wrong size that may not be removed is said to be there still', async () => {
  await using bench = await openBench();
  bench.bucket.distort = (facts) => ({ ...facts, sizeBytes: 1 });
  bench.bucket.fail('deleteObject', 'refused');
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'checksum_mismatch');
  assert.match(record.message ?? '', /could not be removed yet/);
  await bench.sweep();
  assert.equal(bench.bucket.objects.size, 0, 'and is removed with the next sweep');
});

test('a store that refuses HEAD ends the upload instead of leaving it completing for ever', async () => {
  await using bench = await openBench();
  bench.bucket.fail('head', 'refused');
  const { upload } = await bench.completing();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_refused');
  assert.match(record.message ?? '', /head: refused/);
});

/** Resumes the upload with what the store holds, sends `missing` and says that it is done. */
async function nextAttempt(bench: DomainBench, agent: FakeAgent, missing: readonly number[]): Promise<void> {
  const [{ uploadId } = { uploadId: '' }] = await bench.store.listUploads({ limit: 1 });
  const { nextAttemptAt } = await bench.reaches(uploadId, 'queued');
  bench.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - bench.clock.now()));
  bench.context.dispatcher.kick('client-1');
  const upload = await bench.reaches(uploadId, 'preparing');
  const asked = agent.connection.sent('prepare_upload').at(-1)?.resume?.kept_parts ?? [];
  assert.deepEqual(
    asked.map(({ part_number: number }) => number),
    [1, 2, 3].filter((number) => !missing.includes(number)),
  );
  await resumed(bench.context, agent.session, resumedMessage(upload));
  if (missing.length > 0) {
    const ready = partsReadyMessage(upload, announce(12 * MiB, missing));
    await partsReady(bench.context, agent.session, ready);
    for (const partNumber of missing) bench.bucket.put(upload.s3UploadId, partNumber);
    await partUploaded(bench.context, agent.session, partUploadedMessage(upload, missing));
  }
  const last = completedMessage(upload, { parts: uploadedParts(missing), resumed: true });
  await completed(bench.context, agent.session, last);
}

test('a part that another PUT has overwritten is sent again, and then the upload completes', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  // It came late, from an attempt of before.
  bench.bucket.put(upload.s3UploadId, 2, { etag: '"other"', crc32: fakeCrc32(9) });
  await completed(bench.context, agent.session, completedMessage(upload, { sha256: 'd'.repeat(64) }));
  const record = await bench.reaches(upload.uploadId, 'queued');
  assert.deepEqual([record.attempt, record.refusedCompletions, record.restarts], [2, 1, 0]);
  assert.match(record.stalledReason ?? '', /does not accept the parts: part 2/);
  assert.deepEqual([record.sha256, record.uploadDurationMs], [null, null], 'nothing of it holds any more');
  await nextAttempt(bench, agent, [2]);
  const end = await bench.reaches(upload.uploadId, 'completed');
  assert.deepEqual([end.crc32, end.partsCompleted, end.bytesUploaded], [FILE_CRC32, 3, 12 * MiB]);
  assert.equal(bench.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

for (const [what, missing] of [
  ['that it holds just as they were announced', []],
  ['of which one has to be sent again each time', [2]],
] as const) {
  test(`a store that goes on refusing parts ${what} ends the upload in the end`, async () => {
    await using bench = await openBench();
    bench.bucket.fail('completeMultipartUpload', 'invalid_parts', { times: 100 });
    const { agent, upload } = await bench.completing();
    for (let refusals = 1; refusals <= 3; refusals += 1) {
      for (const partNumber of missing)
        bench.bucket.put(upload.s3UploadId, partNumber, { crc32: null, etag: '"lost"' });
      await nextAttempt(bench, agent, missing);
    }
    const record = await bench.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'checksum_mismatch');
    assert.equal(bench.bucket.count('completeMultipartUpload'), 4);
    assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
  });
}

test('a multipart upload that is gone, without an object of ours, starts over', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.loseUploads();
  await completed(bench.context, agent.session, completedMessage(upload));
  const record = await bench.reaches(upload.uploadId, 'queued');
  assert.deepEqual([record.restarts, record.s3UploadId, record.objectToken], [1, null, null]);
  assert.deepEqual(await bench.store.listParts(upload.uploadId), []);
  bench.clock.advance(1000);
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  await prepared(bench.context, agent.session, preparedMessage(again));
  const uploading = await bench.upload(upload.uploadId);
  for (const partNumber of [1, 2, 3]) bench.bucket.put(uploading.s3UploadId, partNumber);
  await completed(bench.context, agent.session, completedMessage(again));
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(bench.bucket.objects.get(upload.key)?.token, uploading.objectToken);
});

test('a multipart upload that is gone each time ends the upload in the end', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  for (let restarts = 0; restarts <= MAX_RESTARTS; restarts += 1) {
    const current = await bench.reaches(upload.uploadId, 'preparing');
    assert.equal(current.restarts, restarts);
    await prepared(bench.context, agent.session, preparedMessage(current));
    bench.bucket.loseUploads();
    await completed(bench.context, agent.session, completedMessage(current));
    await bench.until(async () => (await bench.upload(upload.uploadId)).status !== 'completing', 'a finding');
    bench.clock.advance(60_000);
    bench.context.dispatcher.kick('client-1');
  }
  assert.equal((await bench.reaches(upload.uploadId, 'failed')).error, 'upload_gone');
});

/** Lets the agent send the whole file once more, in another multipart upload. */
async function sendAgain(bench: DomainBench, agent: FakeAgent, uploadId: string): Promise<void> {
  const { nextAttemptAt } = await bench.reaches(uploadId, 'queued');
  bench.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - bench.clock.now()));
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(uploadId, 'preparing');
  await prepared(bench.context, agent.session, preparedMessage(again));
  const { s3UploadId } = await bench.upload(uploadId);
  for (const partNumber of [1, 2, 3]) bench.bucket.put(s3UploadId, partNumber);
  await completed(bench.context, agent.session, completedMessage(again));
}

test('parts that a store which is well does not complete are given up, and the file is sent again', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.breakUpload(upload.s3UploadId);
  await completed(bench.context, agent.session, completedMessage(upload));
  const queued = await bench.reaches(upload.uploadId, 'queued');
  const tries = bench.bucket.count('completeMultipartUpload');
  assert.ok(tries >= 6 && tries < 30, `${tries} tries`);
  assert.ok(bench.clock.now() - upload.updatedAt >= 30_000, 'not before half a minute');
  assert.match(queued.stalledReason ?? '', /keeps failing for what was sent/);
  assert.deepEqual([queued.restarts, queued.s3UploadId, queued.objectToken], [1, null, null]);
  assert.equal(bench.bucket.uploads.size, 0, 'aborted before the next begins');
  await sendAgain(bench, agent, upload.uploadId);
  const record = await bench.reaches(upload.uploadId, 'completed');
  assert.notEqual(record.objectToken, upload.objectToken);
  assert.equal(bench.bucket.objects.get(upload.key)?.token, record.objectToken);
});

test('parts are not given up while the store takes no other upload either, or asks for fewer requests', async () => {
  for (const s3Code of ['InternalError', 'SlowDown', 'SlowDownWrite']) {
    await using bench = await openBench({ settings: { lifetimeMs: 600_000 } });
    const { agent, upload } = await bench.uploading();
    bench.bucket.breakUpload(upload.s3UploadId, s3Code);
    if (s3Code === 'InternalError')
      bench.bucket.fail('createMultipartUpload', 'unavailable', { times: 2000 });
    await completed(bench.context, agent.session, completedMessage(upload));
    const record = await bench.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'storage_unavailable');
    assert.equal(record.restarts, 0);
    assert.ok(bench.clock.now() > upload.expiresAt, 'at the deadline');
  }
});

test('a store that owes the answer to Complete is given longer than one that says it failed', async () => {
  for (const s3Code of [null, 'ServiceUnavailable']) {
    await using bench = await openBench();
    const { agent, upload } = await bench.uploading();
    bench.bucket.breakUpload(upload.s3UploadId, s3Code);
    await completed(bench.context, agent.session, completedMessage(upload));
    await bench.reaches(upload.uploadId, 'queued');
    const waitedMs = bench.clock.now() - upload.updatedAt;
    assert.ok(waitedMs >= 30 * 60_000 && waitedMs < 60 * 60_000, `${s3Code}: ${waitedMs} ms`);
  }
});

test('a Complete that took effect at last, as its parts were given up, is a success', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.breakUpload(upload.s3UploadId);
  const abort = bench.bucket.abortMultipartUpload.bind(bench.bucket);
  bench.bucket.abortMultipartUpload = async (multipart, options) => {
    if (multipart.s3UploadId === upload.s3UploadId) bench.bucket.completeLate(upload.s3UploadId);
    await abort(multipart, options);
  };
  await completed(bench.context, agent.session, completedMessage(upload));
  const record = await bench.reaches(upload.uploadId, 'completed');
  assert.equal(record.objectToken, upload.objectToken);
  assert.equal(record.restarts, 0);
});

test('a store that breaks every multipart upload of a file ends it after a few', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.breakUpload(upload.s3UploadId);
  await completed(bench.context, agent.session, completedMessage(upload));
  for (let restarts = 1; restarts <= MAX_GIVEN_UP; restarts += 1) {
    assert.equal((await bench.reaches(upload.uploadId, 'queued')).restarts, restarts);
    bench.bucket.breakNextUpload();
    await sendAgain(bench, agent, upload.uploadId);
  }
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'storage_unavailable');
  assert.match(record.message ?? '', /although it takes new uploads.*begun anew 3 times/);
  assert.equal(bench.bucket.objects.size, 0);
});

test('a store that names another checksum is a checksum_mismatch', async () => {
  await using bench = await openBench();
  bench.bucket.fail('completeMultipartUpload', 'checksum_mismatch');
  const { upload } = await bench.completing();
  assert.equal((await bench.reaches(upload.uploadId, 'failed')).error, 'checksum_mismatch');
  assert.equal(bench.bucket.faultsFired, 1);
});

test('how sure the finding is depends on what the store confirmed', async () => {
  for (const [checksumMode, fullObjectChecksum, verification] of [
    ['crc32', true, 'full_object'],
    ['crc32', false, 'parts'],
    ['none', false, 'size_only'],
  ] as const) {
    await using bench = await openBench();
    bench.bucket.honours = { ...bench.bucket.honours, checksumMode, fullObjectChecksum };
    const { upload } = await bench.completing();
    assert.equal((await bench.reaches(upload.uploadId, 'completed')).verification, verification);
  }
});

test('a part that was never reported as sent stops the completion before the store is asked', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await completed(bench.context, agent.session, completedMessage(upload, { parts: uploadedParts([1, 3]) }));
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'protocol_error');
  assert.match(record.message ?? '', /part 2/);
  assert.equal(bench.bucket.count('completeMultipartUpload'), 0);
});

for (const [what, part, complaint] of [
  ['of another length than the plan’s', { partNumber: 2, sizeBytes: 5 * MiB - 1 }, /part 2/],
  ['beyond the plan’s last', { partNumber: 4, sizeBytes: 1 }, /part 4/],
] as const) {
  test(`a part ${what} stops the completion before the store is asked`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await bench.preparing();
    const others = [1, 2, 3].filter((partNumber) => partNumber !== part.partNumber);
    const first = preparedMessage(upload, { parts: announce(12 * MiB, others) });
    await prepared(bench.context, agent.session, first);
    // Past the handlers, which would not take it.
    await bench.store.announceParts(upload.uploadId, [
      { ...part, crc32: fakeCrc32(9), sha256: null, md5: null },
    ]);
    await bench.store.recordUploadedParts(upload.uploadId, [{ partNumber: part.partNumber, etag: '"x"' }]);
    await completed(bench.context, agent.session, completedMessage(upload));
    const record = await bench.reaches(upload.uploadId, 'failed');
    assert.equal(record.error, 'protocol_error');
    assert.match(record.message ?? '', complaint);
    assert.equal(bench.bucket.count('completeMultipartUpload'), 0);
  });
}

test('closed while it waits, the row stays completing, and the next start finishes it', async () => {
  const store = await openSqliteStore(':memory:');
  const asleep = Promise.withResolvers<void>();
  await using bench = new DomainBench(store, {
    sleep: (_ms, signal) => {
      asleep.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    },
  });
  bench.bucket.fail('completeMultipartUpload', 'unavailable');
  const { upload } = await bench.completing();
  await asleep.promise;
  await bench.context.completion.close();
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');

  bench.context.completion.start(upload.uploadId);
  await bench.settle();
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1, 'a closed one starts nothing');

  const next = nextRun(bench);
  await next.sweeper.sweep();
  await bench.reaches(upload.uploadId, 'completed');
});

test('closed while the store is asked, the row stays completing, and the next start finishes it', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  await bench.until(() => bench.bucket.count('completeMultipartUpload') === 1, 'Complete');
  await bench.context.completion.close();
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
  assert.equal(bench.log.has('completion interrupted'), false, 'a close is not a fault');
  release();
  const next = nextRun(bench);
  next.transfers.completion.start(upload.uploadId);
  await bench.reaches(upload.uploadId, 'completed');
});

test('a call cut short by the close is not the store being away, not even past the deadline', async () => {
  await using bench = await openBench();
  bench.bucket.hold('head');
  const { upload } = await bench.completing();
  await bench.until(() => bench.bucket.count('head') === 1, 'HEAD');
  bench.clock.advance(100 * 24 * 3_600_000);
  await bench.context.completion.close();
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
});

test('a finding that loses the guard is not reported', async () => {
  const isRace = { on: false };
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) =>
      isRace.on && upload.status === 'completed' ? false : real.saveUpload(upload, save),
  });
  await using bench = new DomainBench(store);
  isRace.on = true;
  const { upload } = await bench.completing();
  await bench.until(() => bench.log.has('completion interrupted'), 'the lost guard');
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
  assert.ok(!bench.changes.some(({ after }) => after.status === 'completed'), 'nobody was told');
  assert.equal(bench.log.has('upload completed'), false);

  isRace.on = false;
  bench.context.completion.start(upload.uploadId);
  await bench.reaches(upload.uploadId, 'completed');
});

/** An upload whose parts were all sent, as the last run of the server left it. */
async function leftCompleting(bench: DomainBench): Promise<Upload> {
  const sample = sampleUploadIn('completing');
  const pending = { key: sample.key, token: sample.objectToken ?? '', checksumMode: 'crc32' } as const;
  const { s3UploadId } = await bench.bucket.createMultipartUpload(pending);
  const upload = { ...sample, s3UploadId };
  await bench.store.insertUpload(upload, sampleAudit());
  const parts = [5 * MiB, 5 * MiB, 2 * MiB].map((sizeBytes, index) => {
    const crc32 = fakeCrc32(index + 1);
    return { partNumber: index + 1, sizeBytes, crc32, sha256: null, md5: null };
  });
  await bench.store.announceParts(upload.uploadId, parts);
  const toSign = parts.map((part) => ({ ...part, sha256: undefined, md5: undefined }));
  await bench.bucket.signParts(upload, toSign, 'crc32');
  for (const { partNumber } of parts) bench.bucket.put(s3UploadId, partNumber);
  await bench.store.recordUploadedParts(
    upload.uploadId,
    parts.map(({ partNumber, crc32 }) => ({ partNumber, etag: etagOf(partNumber, crc32) })),
  );
  return upload;
}

test('after an outage the store is asked for sixteen at once', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  const uploads: Upload[] = [];
  for (let count = 0; count < 20; count += 1) uploads.push(await leftCompleting(bench));
  await bench.domain.sweeper.sweep();
  await bench.until(() => bench.bucket.count('completeMultipartUpload') === 16, 'sixteen');
  await bench.settle();
  assert.equal(bench.bucket.count('completeMultipartUpload'), 16);
  release();
  for (const { uploadId } of uploads) await bench.reaches(uploadId, 'completed');
  assert.equal(bench.bucket.count('completeMultipartUpload'), 20);
});

test('uploads that wait for their next try do not hold up the others', async () => {
  const store = await openSqliteStore(':memory:');
  await using bench = new DomainBench(store, {
    sleep: (_ms, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      }),
  });
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { times: 16 });
  for (let count = 0; count < 16; count += 1) await leftCompleting(bench);
  await bench.domain.sweeper.sweep();
  await bench.until(() => bench.bucket.faultsFired === 16, 'the faults');
  const { uploadId } = await leftCompleting(bench);
  bench.context.completion.start(uploadId);
  await bench.reaches(uploadId, 'completed');
});

test('a fault of our own is tried again until the deadline, and then ends the upload', async () => {
  const real = await openSqliteStore(':memory:');
  let faults = 0;
  const store = intercepted<Store>(real, {
    listParts: async (uploadId) => {
      if ((await real.getUpload(uploadId))?.status !== 'completing') return real.listParts(uploadId);
      faults += 1;
      return Promise.reject(new TypeError('a mistake'));
    },
  });
  await using bench = new DomainBench(store);
  const { upload } = await bench.completing();
  await bench.until(() => bench.log.has('completion interrupted'), 'the fault');
  await bench.settle();
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
  bench.clock.advance(upload.expiresAt - bench.clock.now() + 1);
  await bench.domain.sweeper.sweep();
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'internal_error');
  assert.equal(faults, 2);
});

test('started twice, it runs once', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  bench.context.completion.start(upload.uploadId);
  bench.context.completion.start(upload.uploadId);
  await bench.until(() => bench.bucket.count('completeMultipartUpload') === 1, 'Complete');
  release();
  await bench.reaches(upload.uploadId, 'completed');
  await bench.settle();
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1);
  bench.context.completion.start(upload.uploadId);
  await bench.settle();
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1, 'what has ended is left alone');
});

/** The domain as the next start of the server builds it, on what the last one left. */
function nextRun({ store, bucket, bus, clock, log }: DomainBench): ReturnType<typeof createDomain> {
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
    orphanAgeMs: 3_600_000,
    commandTimeoutMs: 1000,
    observe: () => {},
    sleep: clock.sleep,
  });
}
