import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangePolicy } from '@backhaul/protocol';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../../test/harness/server/domain-fixture.ts';
import {
  failedMessage,
  partUploadedMessage,
  preparedMessage,
} from '../../../../../../test/doubles/fake-agent.ts';
import { MAX_RESTARTS, MAX_UNREADABLE } from '../../uploads/requeue.ts';
import { failed } from './endings.ts';
import { partUploaded } from './parts.ts';
import { prepared } from './prepared.ts';

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

async function trigger(fixture: DomainFixture, onChange: ChangePolicy): Promise<string> {
  const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1', onChange };
  return (await fixture.domain.uploads.trigger(request)).uploadId;
}

test('an agent that cannot reach the store gets the upload again later, with all stored parts', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading({ sent: [1] });
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  await failed(fixture.context, agent.session, failedMessage(upload, 'storage_unavailable', 'No response.'));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.attempt, record.stalledReason], ['queued', 2, 'No response.']);
  const at = record.nextAttemptAt ?? 0;
  assert.ok(at > fixture.clock.now());
  fixture.clock.advance(at - fixture.clock.now() - 1);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'queued', 'not a millisecond early');
  fixture.clock.advance(1);
  await fixture.sweep();
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([again.partsCompleted, again.s3UploadId], [1, upload.s3UploadId]);
  assert.equal(agent.connection.sent('prepare_upload')[1]?.resume?.kept_parts.length, 1);
});

test('a refusal reported by an agent is final only if the store accepts the server’s calls at that time', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading({ sent: [1] });
  const message = 'Part 1: the store responded with HTTP 403 RequestTimeTooSkewed.';
  fixture.bucket.fail('ping', 'unavailable', { times: 1 });
  await failed(fixture.context, agent.session, failedMessage(upload, 'storage_refused', message));
  const waiting = await fixture.upload(upload.uploadId);
  assert.equal(waiting.status, 'queued');
  assert.match(waiting.stalledReason ?? '', /^Waiting for the object store: ping/);
  fixture.clock.advance((waiting.nextAttemptAt ?? 0) - fixture.clock.now());
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  await failed(fixture.context, agent.session, failedMessage(again, 'storage_refused', message));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'storage_refused']);
});

test('retries become rarer during an outage, and a stored part resets the delay', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    await failed(
      fixture.context,
      agent.session,
      failedMessage({ ...upload, attempt }, 'storage_unavailable'),
    );
    const { nextAttemptAt, status } = await fixture.upload(upload.uploadId);
    assert.equal(status, 'queued');
    waits.push((nextAttemptAt ?? 0) - fixture.clock.now());
    fixture.clock.advance(waits.at(-1) ?? 0);
    fixture.context.dispatcher.schedule('client-1');
    await fixture.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [11_250, 22_500, 45_000, 90_000, 180_000, 360_000, 450_000, 450_000]);

  const last = await fixture.upload(upload.uploadId);
  await prepared(fixture.context, agent.session, preparedMessage(last));
  await partUploaded(fixture.context, agent.session, partUploadedMessage(last, [1]));
  await failed(fixture.context, agent.session, failedMessage(last, 'storage_unavailable'));
  const { nextAttemptAt } = await fixture.upload(upload.uploadId);
  assert.equal((nextAttemptAt ?? 0) - fixture.clock.now(), 11_250);
});

test('a read error during an upload interrupts it and preserves the stored parts', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading({ sent: [1] });
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  await failed(fixture.context, agent.session, failedMessage(upload, 'read_failed', 'Reading failed (EIO).'));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.stalledReason],
    ['queued', 2, 'Reading failed (EIO).'],
  );
  fixture.clock.advance((record.nextAttemptAt ?? 0) - fixture.clock.now());
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([again.partsCompleted, again.s3UploadId], [1, upload.s3UploadId]);
});

test('a file that stays unreadable ends its upload with the reason', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  for (let attempt = 1; attempt <= MAX_UNREADABLE; attempt += 1) {
    const current = await fixture.reaches(upload.uploadId, 'preparing');
    assert.equal(current.attempt, attempt);
    await failed(
      fixture.context,
      agent.session,
      failedMessage(current, 'read_failed', 'Reading failed (EIO).'),
    );
    const { nextAttemptAt } = await fixture.upload(upload.uploadId);
    fixture.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - fixture.clock.now()));
    fixture.context.dispatcher.schedule('client-1');
  }
  const { status, error, message } = await fixture.upload(upload.uploadId);
  const expected = 'Reading failed (EIO). It was tried 6 times in a row.';
  assert.deepEqual([status, error, message], ['failed', 'read_failed', expected]);
});

for (const onChange of ['fail', 'prefix'] as const) {
  test(`a file that changed ends an upload with policy ${onChange}`, async () => {
    await using fixture = await openFixture();
    const agent = await fixture.connect();
    const upload = await fixture.reaches(await trigger(fixture, onChange), 'preparing');
    await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed', 'It shrank.'));
    const record = await fixture.upload(upload.uploadId);
    assert.deepEqual([record.status, record.error, record.message], ['failed', 'file_changed', 'It shrank.']);
  });
}

test('with policy restart a file that always changes is restarted a few times, then the upload fails', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  const uploadId = await trigger(fixture, 'restart');
  const tokens = new Set<string | null>();
  for (let restarts = 0; restarts <= MAX_RESTARTS; restarts += 1) {
    const upload = await fixture.reaches(uploadId, 'preparing');
    assert.equal(upload.restarts, restarts);
    const { fingerprint } = preparedMessage(upload);
    const version = { ...fingerprint, mtime_ns: String(restarts) };
    await prepared(fixture.context, agent.session, preparedMessage(upload, { fingerprint: version }));
    const uploading = await fixture.upload(uploadId);
    assert.deepEqual(uploading.fingerprint, version, 'of the file at that time');
    tokens.add(uploading.objectToken);
    await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed', 'It grew.'));
    const { nextAttemptAt } = await fixture.upload(uploadId);
    fixture.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - fixture.clock.now()));
    fixture.context.dispatcher.schedule('client-1');
  }
  const record = await fixture.reaches(uploadId, 'failed');
  assert.deepEqual([record.error, record.message], ['file_changed', 'It grew. Restarted 5 times.']);
  assert.equal(tokens.size, MAX_RESTARTS + 1, 'each has its own token');
  await fixture.until(() => fixture.bucket.uploads.size === 0, 'the aborts');
});

test('an upload whose multipart upload the agent reports missing starts over', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.loseUploads();
  await failed(fixture.context, agent.session, failedMessage(upload, 'upload_gone'));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.s3UploadId, record.restarts], ['queued', null, 1]);
  fixture.clock.advance(1000);
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  await prepared(fixture.context, agent.session, preparedMessage(again));
  assert.notEqual((await fixture.reaches(upload.uploadId, 'uploading')).s3UploadId, upload.s3UploadId);
});

test('an agent that is always busy is asked less and less often', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 9; attempt += 1) {
    await failed(fixture.context, agent.session, failedMessage({ ...upload, attempt }, 'agent_busy'));
    waits.push(((await fixture.upload(upload.uploadId)).nextAttemptAt ?? 0) - fixture.clock.now());
    fixture.clock.advance(waits.at(-1) ?? 0);
    fixture.context.dispatcher.schedule('client-1');
    await fixture.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [1000, 750, 1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000]);
});

test('messages about an interrupted attempt are ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  const before = await fixture.upload(upload.uploadId);
  for (const error of ['storage_unavailable', 'file_changed', 'upload_gone', 'read_failed']) {
    await failed(fixture.context, agent.session, failedMessage(upload, error));
  }
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 2, 3]));
  assert.deepEqual(await fixture.upload(upload.uploadId), before);
  assert.ok((await fixture.store.listParts(upload.uploadId)).every(({ etag }) => etag === null));
});
