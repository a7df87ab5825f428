import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangePolicy, Fingerprint } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
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

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

/** An interrupted upload whose new session was asked to resume it. */
async function resuming(
  bench: DomainBench,
  { onChange = 'fail' }: { onChange?: ChangePolicy } = {},
): Promise<{ agent: FakeAgent; upload: Upload }> {
  const queued = await bench.interrupted({ sent: [1, 2] });
  if (onChange !== 'fail') {
    const changed = { ...queued, onChange, version: queued.version + 1 };
    assert.ok(await bench.store.saveUpload(changed, { expectedVersion: queued.version }));
  }
  const agent = await bench.connect();
  return { agent, upload: await bench.reaches(queued.uploadId, 'preparing') };
}

test('resumed twice changes nothing the second time', async () => {
  await using bench = await openBench();
  const { agent, upload } = await resuming(bench);
  await resumed(bench.context, agent.session, resumedMessage(upload));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.version], ['uploading', upload.version + 1]);
  await resumed(bench.context, agent.session, resumedMessage(upload));
  assert.deepEqual(await bench.upload(upload.uploadId), record);
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
  test(`a file that has ${what} now is, by policy ${onChange}, ${end}`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await resuming(bench, { onChange });
    const message = resumedMessage(upload, { fingerprint: { ...fingerprint, ...changes } });
    await resumed(bench.context, agent.session, message);
    const record = await bench.upload(upload.uploadId);
    assert.equal(record.status, end);
    if (end === 'failed') assert.equal(record.error, 'file_changed');
    if (end === 'queued') {
      assert.deepEqual([record.restarts, record.s3UploadId, record.fingerprint], [1, null, null]);
    }
    await bench.settle();
    assert.deepEqual(bench.bucket.aborted, end === 'uploading' ? [] : [upload.s3UploadId]);
  });
}

test('another size than that of the parts is another version, whatever the fingerprint says', async () => {
  await using bench = await openBench();
  const { agent, upload } = await resuming(bench, { onChange: 'prefix' });
  await resumed(bench.context, agent.session, resumedMessage(upload, { size: FILE_BYTES + 1 }));
  assert.equal((await bench.upload(upload.uploadId)).error, 'file_changed');
});

test('an agent that was asked to resume and prepares anew, or the reverse, breaks the protocol', async () => {
  await using bench = await openBench();
  const { agent, upload } = await resuming(bench);
  await prepared(bench.context, agent.session, preparedMessage(upload));
  assert.equal((await bench.upload(upload.uploadId)).error, 'protocol_error');
  assert.equal(bench.bucket.count('createMultipartUpload'), 1, 'no second one');

  await using other = await openBench();
  const fresh = await other.preparing();
  await resumed(other.context, fresh.agent.session, resumedMessage(fresh.upload));
  assert.equal((await other.upload(fresh.upload.uploadId)).error, 'protocol_error');
});

test('until the agent has resumed it gets no URLs, and no end is believed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await resuming(bench);
  await partsReady(bench.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [3])));
  await completed(bench.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  assert.deepEqual(await bench.upload(upload.uploadId), upload);
  assert.deepEqual(agent.connection.sent('part_urls'), []);
});

test('an attempt that had nothing left to send completes without a part', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const agent = await bench.connect();
  const upload = await bench.reaches(queued.uploadId, 'preparing');
  assert.equal(upload.partsCompleted, 3);
  await resumed(bench.context, agent.session, resumedMessage(upload));
  await completed(bench.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  await bench.reaches(upload.uploadId, 'completed');
});

test('an attempt that says it had nothing left to send, but had, is not completed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await resuming(bench);
  await resumed(bench.context, agent.session, resumedMessage(upload));
  await completed(bench.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  const record = await bench.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'protocol_error');
  assert.match(record.message ?? '', /part 3/);
  assert.equal(bench.bucket.count('completeMultipartUpload'), 0);
});
