import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangePolicy } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { failedMessage, partUploadedMessage, preparedMessage } from '../fakes/fake-agent.ts';
import { MAX_RESTARTS, MAX_UNREADABLE } from '../uploads/attempt-failure.ts';
import { failed } from './failed.ts';
import { partUploaded } from './part-uploaded.ts';
import { prepared } from './prepared.ts';

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

async function trigger(bench: DomainBench, onChange: ChangePolicy): Promise<string> {
  const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1', onChange };
  return (await bench.domain.uploads.trigger(request)).uploadId;
}

test('an agent that cannot reach the store gets the upload again later, with all that was stored', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading({ sent: [1] });
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  await failed(bench.context, agent.session, failedMessage(upload, 'storage_unavailable', 'No answer.'));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.attempt, record.stalledReason], ['queued', 2, 'No answer.']);
  const at = record.nextAttemptAt ?? 0;
  assert.ok(at > bench.clock.now());
  bench.clock.advance(at - bench.clock.now() - 1);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'queued', 'not a millisecond early');
  bench.clock.advance(1);
  await bench.sweep();
  const again = await bench.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([again.partsCompleted, again.s3UploadId], [1, upload.s3UploadId]);
  assert.equal(agent.connection.sent('prepare_upload')[1]?.resume?.kept_parts.length, 1);
});

test('what the store refuses an agent is final only if the store serves the server at that time', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading({ sent: [1] });
  const message = 'Part 1: the store answered HTTP 403 RequestTimeTooSkewed.';
  bench.bucket.fail('ping', 'unavailable', { times: 1 });
  await failed(bench.context, agent.session, failedMessage(upload, 'storage_refused', message));
  const waiting = await bench.upload(upload.uploadId);
  assert.equal(waiting.status, 'queued');
  assert.match(waiting.stalledReason ?? '', /^Waiting for the object store: ping/);
  bench.clock.advance((waiting.nextAttemptAt ?? 0) - bench.clock.now());
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  await failed(bench.context, agent.session, failedMessage(again, 'storage_refused', message));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'storage_refused']);
});

test('the longer an outage lasts, the rarer it is tried, and a part that was stored begins anew', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    await failed(bench.context, agent.session, failedMessage({ ...upload, attempt }, 'storage_unavailable'));
    const { nextAttemptAt, status } = await bench.upload(upload.uploadId);
    assert.equal(status, 'queued');
    waits.push((nextAttemptAt ?? 0) - bench.clock.now());
    bench.clock.advance(waits.at(-1) ?? 0);
    bench.context.dispatcher.kick('client-1');
    await bench.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [11_250, 22_500, 45_000, 90_000, 180_000, 360_000, 450_000, 450_000]);

  const last = await bench.upload(upload.uploadId);
  await prepared(bench.context, agent.session, preparedMessage(last));
  await partUploaded(bench.context, agent.session, partUploadedMessage(last, [1]));
  await failed(bench.context, agent.session, failedMessage(last, 'storage_unavailable'));
  const { nextAttemptAt } = await bench.upload(upload.uploadId);
  assert.equal((nextAttemptAt ?? 0) - bench.clock.now(), 11_250);
});

test('a read error amid an upload interrupts it, with all that was stored', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading({ sent: [1] });
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  await failed(bench.context, agent.session, failedMessage(upload, 'read_failed', 'Reading failed (EIO).'));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.stalledReason],
    ['queued', 2, 'Reading failed (EIO).'],
  );
  bench.clock.advance((record.nextAttemptAt ?? 0) - bench.clock.now());
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([again.partsCompleted, again.s3UploadId], [1, upload.s3UploadId]);
});

test('a file that stays unreadable ends its upload with the reason', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  for (let attempt = 1; attempt <= MAX_UNREADABLE; attempt += 1) {
    const current = await bench.reaches(upload.uploadId, 'preparing');
    assert.equal(current.attempt, attempt);
    await failed(
      bench.context,
      agent.session,
      failedMessage(current, 'read_failed', 'Reading failed (EIO).'),
    );
    const { nextAttemptAt } = await bench.upload(upload.uploadId);
    bench.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - bench.clock.now()));
    bench.context.dispatcher.kick('client-1');
  }
  const { status, error, message } = await bench.upload(upload.uploadId);
  const told = 'Reading failed (EIO). It was tried 6 times in a row.';
  assert.deepEqual([status, error, message], ['failed', 'read_failed', told]);
});

for (const onChange of ['fail', 'prefix'] as const) {
  test(`a file that changed ends an upload with policy ${onChange}`, async () => {
    await using bench = await openBench();
    const agent = await bench.connect();
    const upload = await bench.reaches(await trigger(bench, onChange), 'preparing');
    await failed(bench.context, agent.session, failedMessage(upload, 'file_changed', 'It shrank.'));
    const record = await bench.upload(upload.uploadId);
    assert.deepEqual([record.status, record.error, record.message], ['failed', 'file_changed', 'It shrank.']);
  });
}

test('a file that changes each time is begun anew a few times with policy restart, and then ends', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  const uploadId = await trigger(bench, 'restart');
  const tokens = new Set<string | null>();
  for (let restarts = 0; restarts <= MAX_RESTARTS; restarts += 1) {
    const upload = await bench.reaches(uploadId, 'preparing');
    assert.equal(upload.restarts, restarts);
    const { fingerprint } = preparedMessage(upload);
    const version = { ...fingerprint, mtime_ns: String(restarts) };
    await prepared(bench.context, agent.session, preparedMessage(upload, { fingerprint: version }));
    const uploading = await bench.upload(uploadId);
    assert.deepEqual(uploading.fingerprint, version, 'of what the file is then');
    tokens.add(uploading.objectToken);
    await failed(bench.context, agent.session, failedMessage(upload, 'file_changed', 'It grew.'));
    const { nextAttemptAt } = await bench.upload(uploadId);
    bench.clock.advance(Math.max(0, (nextAttemptAt ?? 0) - bench.clock.now()));
    bench.context.dispatcher.kick('client-1');
  }
  const record = await bench.reaches(uploadId, 'failed');
  assert.deepEqual([record.error, record.message], ['file_changed', 'It grew. It was begun anew 5 times.']);
  assert.equal(tokens.size, MAX_RESTARTS + 1, 'each has its own token');
  await bench.until(() => bench.bucket.uploads.size === 0, 'the aborts');
});

test('a multipart upload that the agent found gone starts over', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.loseUploads();
  await failed(bench.context, agent.session, failedMessage(upload, 'upload_gone'));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.s3UploadId, record.restarts], ['queued', null, 1]);
  bench.clock.advance(1000);
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  await prepared(bench.context, agent.session, preparedMessage(again));
  assert.notEqual((await bench.reaches(upload.uploadId, 'uploading')).s3UploadId, upload.s3UploadId);
});

test('an agent that is always busy is asked ever more rarely', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 9; attempt += 1) {
    await failed(bench.context, agent.session, failedMessage({ ...upload, attempt }, 'agent_busy'));
    waits.push(((await bench.upload(upload.uploadId)).nextAttemptAt ?? 0) - bench.clock.now());
    bench.clock.advance(waits.at(-1) ?? 0);
    bench.context.dispatcher.kick('client-1');
    await bench.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [1000, 750, 1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000]);
});

test('what an agent says of an attempt that was interrupted changes nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  const before = await bench.upload(upload.uploadId);
  for (const error of ['storage_unavailable', 'file_changed', 'upload_gone', 'read_failed']) {
    await failed(bench.context, agent.session, failedMessage(upload, error));
  }
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 2, 3]));
  assert.deepEqual(await bench.upload(upload.uploadId), before);
  assert.ok((await bench.store.listParts(upload.uploadId)).every(({ etag }) => etag === null));
});
