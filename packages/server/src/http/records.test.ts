import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uploadRecordSchema, uploadStatuses } from '@backhaul/protocol';
import { DomainFixture } from '../../../../test/harness/server/domain-fixture.ts';
import { sampleUploadIn } from '../../../../test/harness/server/sample-upload.ts';
import { endSession } from '../domain/agents/handlers/hello.ts';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { describeUpload, toUploadRecord } from './records.ts';

/** No agent reports bytes in flight. */
const silent = { bytesInFlight: () => undefined };

for (const status of uploadStatuses) {
  test(`the record of a ${status} upload matches the API, and contains no internal fields`, () => {
    const upload = {
      ...sampleUploadIn(status),
      s3UploadId: 'SECRET-s3-upload',
      objectToken: 'SECRET-token',
      idempotencyKey: 'SECRET-key',
      fingerprint: {
        device: '5150515',
        inode: '5150515',
        size: '5150515',
        mtime_ns: '5150515',
        ctime_ns: '5150515',
      },
    };
    const record = toUploadRecord(upload, silent);
    assert.deepEqual(uploadRecordSchema.parse(record), record);
    assert.doesNotMatch(JSON.stringify(record), /SECRET|5150515/);
  });
}

test('times are ISO 8601 in UTC, and the checksum has a type', () => {
  const record = toUploadRecord(sampleUploadIn('completed'), silent);
  assert.equal(record.created_at, '2025-11-01T00:00:00.000Z');
  assert.equal(record.completed_at, '2025-11-01T00:00:05.000Z');
  assert.equal(record.stalled_since, null);
  assert.deepEqual(record.checksum, { algorithm: 'crc32', type: 'full_object', value: 'AAAAAA==' });
  assert.equal(toUploadRecord(sampleUploadIn('uploading'), silent).checksum, null);
});

test('an upload that waits for an offline machine says since when and until when', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const services = { clients: fixture.domain.clients, progress: fixture.context.progress };
  const agent = await fixture.connect('client-1');
  await endSession(fixture.context, agent.session);
  const offlineSince = new Date(fixture.clock.now()).toISOString();
  fixture.clock.advance(3 * 24 * 3_600_000);
  const upload = await fixture.trigger();
  const record = await describeUpload(services, upload);
  assert.equal(record.stalled_since, new Date(upload.createdAt).toISOString());
  assert.match(
    record.stalled_reason ?? '',
    new RegExp(
      `offline since ${offlineSince.slice(0, 10)} .* UTC .*waits for it until ${record.expires_at.slice(0, 10)} `,
    ),
  );
  assert.equal((await fixture.upload(upload.uploadId)).stalledReason, null, 'no row is written for it');
  await fixture.connect('client-1', { maxUploads: 1 });
  const waiting = await fixture.trigger('/data/second.bin');
  assert.equal((await describeUpload(services, waiting)).stalled_reason, null);
});
