import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uploadRecordSchema, uploadStatuses } from '@backhaul/protocol';
import { sampleUploadIn } from '../domain/fakes/sample-upload.ts';
import { toUploadRecord } from './upload-record.ts';

for (const status of uploadStatuses) {
  test(`the record of a ${status} upload is one of the API, and holds nothing that is the server’s own`, () => {
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
    const record = toUploadRecord(upload);
    assert.deepEqual(uploadRecordSchema.parse(record), record);
    assert.doesNotMatch(JSON.stringify(record), /SECRET|5150515/);
  });
}

test('times are ISO 8601 in UTC, and the checksum says what it is of', () => {
  const record = toUploadRecord(sampleUploadIn('completed'));
  assert.equal(record.created_at, '2025-11-01T00:00:00.000Z');
  assert.equal(record.completed_at, '2025-11-01T00:00:05.000Z');
  assert.equal(record.stalled_since, null);
  assert.deepEqual(record.checksum, { algorithm: 'crc32', type: 'full_object', value: 'AAAAAA==' });
  assert.equal(toUploadRecord(sampleUploadIn('uploading')).checksum, null);
});
