import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { toUploadRecord } from '../../http/upload-record.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { partUploadedMessage, stalledMessage } from '../fakes/fake-agent.ts';
import { AGENT_AWAY, endSession } from '../sessions/end-session.ts';
import { partUploaded } from './part-uploaded.ts';
import { stalled } from './stalled.ts';

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

test('a stall shows since when, why, and when it is tried again, until the next part is stored', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const since = bench.clock.now();
  await stalled(bench.context, agent.session, stalledMessage(upload));
  bench.clock.advance(60_000);
  await stalled(
    bench.context,
    agent.session,
    stalledMessage(upload, { reason: 'EHOSTUNREACH', retry_in_ms: 7000 }),
  );
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.stalledSince, record.stalledReason, record.nextAttemptAt],
    ['uploading', since, 'EHOSTUNREACH', bench.clock.now() + 7000],
  );
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  const { stalledSince, stalledReason, nextAttemptAt } = await bench.upload(upload.uploadId);
  assert.deepEqual([stalledSince, stalledReason, nextAttemptAt], [null, null, null]);
});

test('the longest wait that the protocol allows is a time that can be shown', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await stalled(bench.context, agent.session, stalledMessage(upload, { retry_in_ms: 86_400_000 }));
  const { next_retry_at: at } = toUploadRecord(await bench.upload(upload.uploadId), bench.context.progress);
  assert.equal(at, new Date(bench.clock.now() + 86_400_000).toISOString());
});

test('an agent that goes away amid a stall is what the upload then waits for', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const since = bench.clock.now();
  await stalled(bench.context, agent.session, stalledMessage(upload));
  bench.clock.advance(1000);
  await endSession(bench.context, agent.session);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [record.stalledSince, record.stalledReason, record.nextAttemptAt],
    [since, AGENT_AWAY, null],
  );
});

test('a stall before the upload has begun is not believed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await stalled(bench.context, agent.session, stalledMessage(upload));
  assert.deepEqual(await bench.upload(upload.uploadId), upload);
});

test('parts that are told of once the agent is away are counted, and the upload still stands still', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await endSession(bench.context, agent.session);
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.partsCompleted, record.stalledReason], [1, AGENT_AWAY]);
  assert.notEqual(record.stalledSince, null);
});

test('an agent that reports stalls without end writes a row a second at most', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const { version } = upload;
  for (let told = 0; told < 50; told += 1) {
    await stalled(bench.context, agent.session, stalledMessage(upload, { reason: `No answer, ${told}.` }));
    bench.clock.advance(100);
  }
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.version, version + 5);
  assert.equal(record.stalledReason, 'No answer, 40.');
});
