import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import {
  announce,
  completedMessage,
  failedMessage,
  fakeCrc32,
  FILE_BYTES,
  partUploadedMessage,
  partsReadyMessage,
  preparedMessage,
} from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { completed } from './completed.ts';
import { failed } from './failed.ts';
import { partUploaded } from './part-uploaded.ts';
import { partsReady } from './parts-ready.ts';
import { prepared } from './prepared.ts';

const MiB = 1024 * 1024;

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

test('parts_ready puts the parts on record and answers with their URLs', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload, { parts: announce(FILE_BYTES, [1]) }));
  const release = bench.bucket.hold('signParts');
  const handling = partsReady(
    bench.context,
    agent.session,
    partsReadyMessage(upload, announce(FILE_BYTES, [2, 3])),
  );
  await bench.until(() => bench.bucket.count('signParts') === 2, 'signing');
  assert.equal((await bench.store.listParts(upload.uploadId)).length, 3, 'on record before it is signed for');
  release();
  await handling;
  const [frame] = agent.connection.sent('part_urls');
  assert.equal(frame?.upload_id, upload.uploadId);
  assert.equal(frame.attempt, 1);
  assert.deepEqual(
    frame.presigned_urls.map((url) => url.part_number),
    [2, 3],
  );
});

test('parts_ready for a part whose URL expired keeps what S3 has acknowledged', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [1])));
  assert.equal(agent.connection.sent('part_urls').length, 1);
  const [part] = await bench.store.listParts(upload.uploadId);
  assert.notEqual(part?.etag, null);
});

test('parts_ready with parts that are not of the plan ends the upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const parts = [{ part_number: 2, size: 6 * MiB, crc32: fakeCrc32(2) }];
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, parts));
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.error, 'protocol_error');
  assert.deepEqual(agent.connection.sent('part_urls'), []);
  assert.equal(bench.bucket.uploads.size, 0);
});

test('parts_ready with another checksum is of another version of the file: it gets no URLs', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const parts = [{ part_number: 2, size: 5 * MiB, crc32: fakeCrc32(77) }];
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, parts));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'file_changed']);
  assert.match(record.message ?? '', /"\/data\/report\.bin" changed during the pull: part 2/);
  assert.deepEqual(agent.connection.sent('part_urls'), []);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('parts_ready of another version of the file begins anew, where the policy says so', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  const { uploadId } = await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/data/report.bin',
    requestedBy: 'operator-1',
    onChange: 'restart',
  });
  await prepared(bench.context, agent.session, preparedMessage(await bench.reaches(uploadId, 'preparing')));
  const upload = await bench.reaches(uploadId, 'uploading');
  const parts = [{ part_number: 2, size: 5 * MiB, crc32: fakeCrc32(77) }];
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, parts));
  const record = await bench.upload(uploadId);
  assert.deepEqual([record.status, record.restarts, record.s3UploadId], ['queued', 1, null]);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1);
  assert.deepEqual(await bench.store.listParts(uploadId), []);
  await bench.settle();
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('parts_ready before prepared gets nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [1])));
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
  assert.equal(bench.bucket.count('signParts'), 0);
});

test('part_uploaded shows the progress; the same once more changes nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 3], 2));
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.partsCompleted, 2);
  assert.equal(record.bytesUploaded, 7 * MiB);
  assert.equal(record.partRetries, 2);
  assert.equal(record.version, upload.version + 1);
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 3], 2));
  assert.deepEqual(await bench.upload(upload.uploadId), record);
});

test('part_uploaded with part numbers that were never announced counts nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload, { parts: announce(FILE_BYTES, [1]) }));
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 2, 9000]));
  assert.equal((await bench.upload(upload.uploadId)).partsCompleted, 1);
  assert.equal((await bench.store.listParts(upload.uploadId)).length, 1);
});

test('part_uploaded ends a stall even when it says nothing new', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  await bench.context.ledger.apply(await bench.upload(upload.uploadId), {
    type: 'stall',
    reason: 'The network is down.',
    nextRetryAt: bench.clock.now() + 1000,
  });
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  assert.equal((await bench.upload(upload.uploadId)).stalledSince, null);
});

test('part_uploaded with numbers beyond the plan does not reach the database, and one named twice counts once', async () => {
  const real = await openSqliteStore(':memory:');
  const recorded: unknown[] = [];
  const store = intercepted<Store>(real, {
    recordUploadedParts: (uploadId, parts) => {
      recorded.push(parts.map(({ partNumber }) => partNumber));
      return real.recordUploadedParts(uploadId, parts);
    },
  });
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [4, 9999]));
  assert.deepEqual(recorded, []);
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [2, 4, 2]));
  assert.deepEqual(recorded, [[2]]);
  assert.equal((await bench.upload(upload.uploadId)).partsCompleted, 1);
});

test('completed twice completes once', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await Promise.all([
    completed(bench.context, agent.session, completedMessage(upload)),
    completed(bench.context, agent.session, completedMessage(upload)),
  ]);
  const record = await bench.reaches(upload.uploadId, 'completed');
  await completed(bench.context, agent.session, completedMessage(upload));
  await bench.settle();
  assert.deepEqual(await bench.upload(upload.uploadId), record);
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1);
});

test('completed carries the ETags of parts that part_uploaded had not named yet', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await completed(bench.context, agent.session, completedMessage(upload, { sha256: 'd'.repeat(64) }));
  const record = await bench.reaches(upload.uploadId, 'completed');
  assert.equal(record.partsCompleted, 3);
  assert.equal(record.bytesUploaded, FILE_BYTES);
  assert.equal(record.sha256, 'd'.repeat(64));
});

test('completed with another size than prepared ends the upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await completed(bench.context, agent.session, completedMessage(upload, { size: FILE_BYTES - 1 }));
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.error, 'protocol_error');
  assert.equal(bench.bucket.count('completeMultipartUpload'), 0);
});

test('completed of another file than the requested one ends the upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await completed(bench.context, agent.session, completedMessage(upload, { file_name: 'deploy.sh' }));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'protocol_error']);
  assert.match(record.message ?? '', /"deploy\.sh"/);
  assert.equal(bench.bucket.objects.size, 0);
});

test('completed before prepared is not believed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await completed(bench.context, agent.session, completedMessage(upload));
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
});

test('failed keeps the agent’s code and message, and aborts the multipart upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'file_changed', 'It grew.'));
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'failed');
  assert.equal(record.error, 'file_changed');
  assert.equal(record.message, 'It grew.');
  assert.equal(record.multipartOpen, false);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
  assert.deepEqual(await bench.store.listParts(upload.uploadId), []);
});

test('failed with a code that this server does not know is an agent_fault', async () => {
  for (const code of ['no_such_code', 'toString']) {
    await using bench = await openBench();
    const { agent, upload } = await bench.preparing();
    await failed(bench.context, agent.session, failedMessage(upload, code));
    assert.equal((await bench.upload(upload.uploadId)).error, 'agent_fault');
  }
});

test('an agent that was busy gets the upload again later, as a new attempt', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await failed(bench.context, agent.session, failedMessage(upload, 'agent_busy', 'Two are running.'));
  await bench.settle();
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'queued');
  assert.equal(record.attempt, 2);
  assert.equal(record.message, 'Two are running.');
  assert.equal(agent.connection.sent('prepare_upload').length, 1, 'not at once, or the two would go round');
  bench.clock.advance(1000);
  await bench.domain.sweeper.sweep();
  await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[1]?.attempt, 2);
});

test('an agent that claims to be busy in the middle of an upload leaves no multipart upload behind', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'agent_busy'));
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});
