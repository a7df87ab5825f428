import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../../test/harness/server/domain-fixture.ts';
import {
  announce,
  completedMessage,
  failedMessage,
  fakeCrc32,
  FILE_BYTES,
  partsReadyMessage,
  partUploadedMessage,
  preparedMessage,
} from '../../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../../test/doubles/intercepted.ts';
import type { Store } from '../../ports/store.ts';
import { completed, failed } from './endings.ts';
import { partsReady, partUploaded } from './parts.ts';
import { prepared } from './prepared.ts';

const MiB = 1024 * 1024;

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

test('parts_ready records the parts and responds with their URLs', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(
    fixture.context,
    agent.session,
    preparedMessage(upload, { parts: announce(FILE_BYTES, [1]) }),
  );
  const release = fixture.bucket.hold('signParts');
  const handling = partsReady(
    fixture.context,
    agent.session,
    partsReadyMessage(upload, announce(FILE_BYTES, [2, 3])),
  );
  await fixture.until(() => fixture.bucket.count('signParts') === 2, 'signing');
  assert.equal((await fixture.store.listParts(upload.uploadId)).length, 3, 'recorded before signing');
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

test('parts_ready for a part whose URL expired keeps the acknowledged parts', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [1])));
  assert.equal(agent.connection.sent('part_urls').length, 1);
  const [part] = await fixture.store.listParts(upload.uploadId);
  assert.notEqual(part?.etag, null);
});

test('parts_ready with parts that do not match the plan ends the upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const parts = [{ part_number: 2, size: 6 * MiB, crc32: fakeCrc32(2) }];
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, parts));
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.error, 'protocol_error');
  assert.deepEqual(agent.connection.sent('part_urls'), []);
  assert.equal(fixture.bucket.uploads.size, 0);
});

test('parts_ready with another checksum is another version of the file and gets no URLs', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const parts = [{ part_number: 2, size: 5 * MiB, crc32: fakeCrc32(77) }];
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, parts));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'file_changed']);
  assert.match(record.message ?? '', /"\/data\/report\.bin" changed during the upload: part 2/);
  assert.deepEqual(agent.connection.sent('part_urls'), []);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('parts_ready of another version of the file restarts the upload if the policy says so', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  const { uploadId } = await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/data/report.bin',
    requestedBy: 'operator-1',
    onChange: 'restart',
  });
  await prepared(
    fixture.context,
    agent.session,
    preparedMessage(await fixture.reaches(uploadId, 'preparing')),
  );
  const upload = await fixture.reaches(uploadId, 'uploading');
  const parts = [{ part_number: 2, size: 5 * MiB, crc32: fakeCrc32(77) }];
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, parts));
  const record = await fixture.upload(uploadId);
  assert.deepEqual([record.status, record.restarts, record.s3UploadId], ['queued', 1, null]);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1);
  assert.deepEqual(await fixture.store.listParts(uploadId), []);
  await fixture.idle();
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('parts_ready before prepared gets nothing', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [1])));
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
  assert.equal(fixture.bucket.count('signParts'), 0);
});

test('part_uploaded updates the progress; a repeated one is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 3], 2));
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.partsCompleted, 2);
  assert.equal(record.bytesUploaded, 7 * MiB);
  assert.equal(record.partRetries, 2);
  assert.equal(record.version, upload.version + 1);
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 3], 2));
  assert.deepEqual(await fixture.upload(upload.uploadId), record);
});

test('part_uploaded with part numbers that were never announced counts nothing', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(
    fixture.context,
    agent.session,
    preparedMessage(upload, { parts: announce(FILE_BYTES, [1]) }),
  );
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 2, 9000]));
  assert.equal((await fixture.upload(upload.uploadId)).partsCompleted, 1);
  assert.equal((await fixture.store.listParts(upload.uploadId)).length, 1);
});

test('part_uploaded ends a stall even without new parts', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  await fixture.context.ledger.apply(await fixture.upload(upload.uploadId), {
    type: 'stall',
    reason: 'The network is down.',
    nextRetryAt: fixture.clock.now() + 1000,
  });
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  assert.equal((await fixture.upload(upload.uploadId)).stalledSince, null);
});

test('part_uploaded with numbers beyond the plan does not reach the database, and a repeated number counts once', async () => {
  const real = await openSqliteStore(':memory:');
  const recorded: unknown[] = [];
  const store = intercepted<Store>(real, {
    recordUploadedParts: (uploadId, parts) => {
      recorded.push(parts.map(({ partNumber }) => partNumber));
      return real.recordUploadedParts(uploadId, parts);
    },
  });
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [4, 9999]));
  assert.deepEqual(recorded, []);
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [2, 4, 2]));
  assert.deepEqual(recorded, [[2]]);
  assert.equal((await fixture.upload(upload.uploadId)).partsCompleted, 1);
});

test('completed twice completes once', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await Promise.all([
    completed(fixture.context, agent.session, completedMessage(upload)),
    completed(fixture.context, agent.session, completedMessage(upload)),
  ]);
  const record = await fixture.reaches(upload.uploadId, 'completed');
  await completed(fixture.context, agent.session, completedMessage(upload));
  await fixture.idle();
  assert.deepEqual(await fixture.upload(upload.uploadId), record);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1);
});

test('completed carries the ETags of parts that part_uploaded had not reported yet', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await completed(fixture.context, agent.session, completedMessage(upload, { sha256: 'd'.repeat(64) }));
  const record = await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(record.partsCompleted, 3);
  assert.equal(record.bytesUploaded, FILE_BYTES);
  assert.equal(record.sha256, 'd'.repeat(64));
});

test('completed with another size than prepared ends the upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await completed(fixture.context, agent.session, completedMessage(upload, { size: FILE_BYTES - 1 }));
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.error, 'protocol_error');
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
});

test('completed with another file than the requested one ends the upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await completed(fixture.context, agent.session, completedMessage(upload, { file_name: 'deploy.sh' }));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'protocol_error']);
  assert.match(record.message ?? '', /"deploy\.sh"/);
  assert.equal(fixture.bucket.objects.size, 0);
});

test('completed before prepared is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await completed(fixture.context, agent.session, completedMessage(upload));
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
});

test('failed stores the agent’s code and message, and aborts the multipart upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed', 'It grew.'));
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'failed');
  assert.equal(record.error, 'file_changed');
  assert.equal(record.message, 'It grew.');
  assert.equal(record.multipartOpen, false);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
  assert.deepEqual(await fixture.store.listParts(upload.uploadId), []);
});

test('failed with an unknown code is an agent_fault', async () => {
  for (const code of ['no_such_code', 'toString']) {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.preparing();
    await failed(fixture.context, agent.session, failedMessage(upload, code));
    assert.equal((await fixture.upload(upload.uploadId)).error, 'agent_fault');
  }
});

test('a busy agent gets the upload again later, as a new attempt', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await failed(fixture.context, agent.session, failedMessage(upload, 'agent_busy', 'Two are running.'));
  await fixture.idle();
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'queued');
  assert.equal(record.attempt, 2);
  assert.equal(record.message, 'Two are running.');
  assert.equal(agent.connection.sent('prepare_upload').length, 1, 'not immediately, which would loop');
  fixture.clock.advance(1000);
  await fixture.domain.sweeper.sweep();
  await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[1]?.attempt, 2);
});

test('an agent that reports busy in the middle of an upload leaves no multipart upload behind', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'agent_busy'));
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});
