import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangePolicy, Fingerprint } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import {
  type FakeAgent,
  FILE_BYTES,
  announce,
  completedMessage,
  partsReadyMessage,
  preparedMessage,
  resumedMessage,
} from '../fakes/fake-agent.ts';
import type { Upload } from '../uploads/upload.ts';
import { completed } from './completed.ts';
import { partsReady } from './parts-ready.ts';
import { prepared } from './prepared.ts';
import { resumed } from './resumed.ts';

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

/** An interrupted upload whose new session was asked to resume it. */
async function resuming(
  fixture: DomainFixture,
  { onChange = 'fail' }: { onChange?: ChangePolicy } = {},
): Promise<{ agent: FakeAgent; upload: Upload }> {
  const queued = await fixture.interrupted({ sent: [1, 2] });
  if (onChange !== 'fail') {
    const changed = { ...queued, onChange, version: queued.version + 1 };
    assert.ok(await fixture.store.saveUpload(changed, { expectedVersion: queued.version }));
  }
  const agent = await fixture.connect();
  return { agent, upload: await fixture.reaches(queued.uploadId, 'preparing') };
}

test('a repeated resumed is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.version], ['uploading', upload.version + 1]);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  assert.deepEqual(await fixture.upload(upload.uploadId), record);
});

const fingerprint: Fingerprint = {
  device: '1',
  inode: '2',
  size: String(FILE_BYTES),
  mtime_ns: '3',
  ctime_ns: '4',
};

for (const [what, changes, onChange, end] of [
  ['another inode', { inode: '9' }, 'fail', 'uploading'],
  ['another inode and mtime', { inode: '9', mtime_ns: '9' }, 'prefix', 'failed'],
  ['another mtime', { mtime_ns: '9' }, 'fail', 'failed'],
  ['another size', { size: '9' }, 'fail', 'failed'],
  ['another device and ctime', { device: '9', ctime_ns: '9' }, 'fail', 'uploading'],
  ['another mtime', { mtime_ns: '9' }, 'restart', 'queued'],
  ['more bytes', { size: String(FILE_BYTES + 1), mtime_ns: '9' }, 'prefix', 'uploading'],
  ['fewer bytes', { size: String(FILE_BYTES - 1), mtime_ns: '9' }, 'prefix', 'failed'],
] as const) {
  test(`a file that now has ${what} is, with policy ${onChange}, ${end}`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await resuming(fixture, { onChange });
    const message = resumedMessage(upload, { fingerprint: { ...fingerprint, ...changes } });
    await resumed(fixture.context, agent.session, message);
    const record = await fixture.upload(upload.uploadId);
    assert.equal(record.status, end);
    if (end === 'failed') assert.equal(record.error, 'file_changed');
    if (end === 'queued') {
      assert.deepEqual([record.restarts, record.s3UploadId, record.fingerprint], [1, null, null]);
    }
    await fixture.idle();
    assert.deepEqual(fixture.bucket.aborted, end === 'uploading' ? [] : [upload.s3UploadId]);
  });
}

test('a size that differs from the parts’ is another version, whatever the fingerprint says', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture, { onChange: 'prefix' });
  await resumed(fixture.context, agent.session, resumedMessage(upload, { size: FILE_BYTES + 1 }));
  assert.equal((await fixture.upload(upload.uploadId)).error, 'file_changed');
});

test('an agent that prepares when asked to resume, or the reverse, violates the protocol', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  assert.equal((await fixture.upload(upload.uploadId)).error, 'protocol_error');
  assert.equal(fixture.bucket.count('createMultipartUpload'), 1, 'no second one');

  await using other = await openFixture();
  const fresh = await other.preparing();
  await resumed(other.context, fresh.agent.session, resumedMessage(fresh.upload));
  assert.equal((await other.upload(fresh.upload.uploadId)).error, 'protocol_error');
});

test('until the agent has resumed it gets no URLs, and its reported outcome is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [3])));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  assert.deepEqual(await fixture.upload(upload.uploadId), upload);
  assert.deepEqual(agent.connection.sent('part_urls'), []);
});

test('an attempt with nothing left to send completes without sending a part', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const agent = await fixture.connect();
  const upload = await fixture.reaches(queued.uploadId, 'preparing');
  assert.equal(upload.partsCompleted, 3);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  await fixture.reaches(upload.uploadId, 'completed');
});

test('an attempt that falsely reports nothing left to send is not completed', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'protocol_error');
  assert.match(record.message ?? '', /part 3/);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
});
