import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toUploadRecord } from '../../../http/records.ts';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../../test/harness/server/domain-fixture.ts';
import { partUploadedMessage, stalledMessage } from '../../../../../../test/doubles/fake-agent.ts';
import { AGENT_DISCONNECTED } from '../session.ts';
import { endSession } from './hello.ts';
import { partUploaded, stalled } from './parts.ts';

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

test('a stall shows its start, reason and next retry until the next part is stored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const since = fixture.clock.now();
  await stalled(fixture.context, agent.session, stalledMessage(upload));
  fixture.clock.advance(60_000);
  await stalled(
    fixture.context,
    agent.session,
    stalledMessage(upload, { reason: 'EHOSTUNREACH', retry_in_ms: 7000 }),
  );
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.stalledSince, record.stalledReason, record.nextAttemptAt],
    ['uploading', since, 'EHOSTUNREACH', fixture.clock.now() + 7000],
  );
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  const { stalledSince, stalledReason, nextAttemptAt } = await fixture.upload(upload.uploadId);
  assert.deepEqual([stalledSince, stalledReason, nextAttemptAt], [null, null, null]);
});

test('the longest wait that the protocol allows is a displayable time', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await stalled(fixture.context, agent.session, stalledMessage(upload, { retry_in_ms: 86_400_000 }));
  const { next_retry_at: at } = toUploadRecord(
    await fixture.upload(upload.uploadId),
    fixture.context.progress,
  );
  assert.equal(at, new Date(fixture.clock.now() + 86_400_000).toISOString());
});

test('an agent that disconnects during a stall becomes the stall’s reason', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const since = fixture.clock.now();
  await stalled(fixture.context, agent.session, stalledMessage(upload));
  fixture.clock.advance(1000);
  await endSession(fixture.context, agent.session);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.stalledSince, record.stalledReason, record.nextAttemptAt],
    [since, AGENT_DISCONNECTED, null],
  );
});

test('a stall reported before the upload has started is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await stalled(fixture.context, agent.session, stalledMessage(upload));
  assert.deepEqual(await fixture.upload(upload.uploadId), upload);
});

test('parts reported after the agent disconnected are counted, and the upload stays stalled', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await endSession(fixture.context, agent.session);
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.partsCompleted, record.stalledReason], [1, AGENT_DISCONNECTED]);
  assert.notEqual(record.stalledSince, null);
});

test('an agent that reports stalls endlessly causes one write per second at most', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const { version } = upload;
  for (let reported = 0; reported < 50; reported += 1) {
    await stalled(
      fixture.context,
      agent.session,
      stalledMessage(upload, { reason: `No response, ${reported}.` }),
    );
    fixture.clock.advance(100);
  }
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.version, version + 5);
  assert.equal(record.stalledReason, 'No response, 40.');
});
