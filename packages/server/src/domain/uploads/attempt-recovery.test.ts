import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';
import { prepared } from '../agent-messages/prepared.ts';
import { preparedMessage } from '../fakes/fake-agent.ts';
import { MAX_RESTARTS } from './attempt-failure.ts';
import type { Upload } from './upload.ts';

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

const HOUR_MS = 3_600_000;
const outage = { error: 'storage_unavailable', message: 'The store does not answer.' } as const;
const lost = { error: 'upload_gone', message: 'There is no such upload.' } as const;

test('an outage puts the upload back with all it has; the record says why and when it is tried again', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await bench.context.recovery.settle(upload, outage);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.epoch, record.s3UploadId, record.objectToken],
    ['queued', 2, null, upload.s3UploadId, upload.objectToken],
  );
  // The middle of 7.5 and 15 s.
  assert.equal(record.nextAttemptAt, bench.clock.now() + 11_250);
  assert.deepEqual([record.stalledSince, record.stalledReason], [bench.clock.now(), outage.message]);
  assert.equal((await bench.store.listParts(upload.uploadId)).length, 3);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  assert.deepEqual(
    agent.connection.sent('cancel_upload').map(({ attempt, reason }) => ({ attempt, reason })),
    [{ attempt: 1, reason: outage.message }],
    'the agent may let go of the file',
  );
});

test('a lost multipart upload starts over with nothing of it, and what may be left of it is aborted', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  await bench.context.recovery.settle(upload, lost);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.restarts, record.s3UploadId, record.multipartOpen],
    ['queued', 2, 1, null, false],
  );
  assert.equal(record.nextAttemptAt, bench.clock.now() + 750);
  assert.deepEqual(await bench.store.listParts(upload.uploadId), []);
  await bench.until(() => bench.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('what has been begun anew too often fails, and says how often', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  await bench.context.recovery.settle({ ...upload, restarts: MAX_RESTARTS }, lost);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'upload_gone']);
  assert.match(record.message ?? '', /^There is no such upload\. .* It was begun anew 5 times\.$/);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('a multipart upload that is lost twice at about the same age is not begun a third time, and says what to set', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.clock.advance(25 * HOUR_MS);
  await bench.context.recovery.settle(upload, lost);
  const first = await bench.upload(upload.uploadId);
  assert.deepEqual([first.status, first.lostAfterMs], ['queued', 25 * HOUR_MS]);
  assert.match(
    first.stalledReason ?? '',
    /created 25\.0 hours before.*stale_uploads_expiry.*AbortIncomplete/,
  );
  bench.clock.advance(1000);
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  await prepared(bench.context, agent.session, preparedMessage(again));
  bench.clock.advance(29 * HOUR_MS);
  await bench.context.recovery.settle(await bench.upload(upload.uploadId), lost);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error, record.restarts], ['failed', 'upload_gone', 1]);
  assert.match(record.message ?? '', /created 29\.0 hours before.*longer than the transfer takes/);
});

for (const [name, ages] of [
  ['young', [60_000, 60_000]],
  ['of very different ages', [25 * HOUR_MS, 2 * HOUR_MS]],
] as const) {
  test(`multipart uploads that are lost ${name} are no limit of the store: it is begun anew`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await bench.uploading();
    for (const [index, age] of ages.entries()) {
      bench.clock.advance(age);
      await bench.context.recovery.settle(await bench.upload(upload.uploadId), lost);
      assert.equal((await bench.upload(upload.uploadId)).restarts, index + 1);
      bench.clock.advance(60_000);
      bench.context.dispatcher.kick('client-1');
      const again = await bench.reaches(upload.uploadId, 'preparing');
      await prepared(bench.context, agent.session, preparedMessage(again));
    }
  });
}

for (const [what, settle] of [
  ['an interruption', outage],
  ['a new beginning', lost],
] as const) {
  test(`${what} that comes too late changes nothing: no abort, no message, no attempt`, async () => {
    await using bench = await openBench();
    const release = bench.bucket.hold('completeMultipartUpload');
    const { agent, upload } = await bench.completing();
    const completing = await bench.upload(upload.uploadId);
    // By the row as it was before, and by the row as it is: only who settles the completion may end it.
    for (const seen of [upload, completing]) await bench.context.recovery.settle(seen, settle);
    assert.deepEqual(await bench.upload(upload.uploadId), completing);
    assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
    assert.deepEqual(agent.connection.sent('cancel_upload'), []);
    release();
    await bench.reaches(upload.uploadId, 'completed');
    await bench.context.recovery.settle(await bench.upload(upload.uploadId), settle, 'completion');
    assert.equal((await bench.upload(upload.uploadId)).status, 'completed');
    assert.equal(bench.bucket.objects.size, 1);
  });
}

test('a new beginning that lost its guard aborts nothing', async () => {
  const race = { on: false };
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => (race.on ? false : real.saveUpload(upload, save)),
  });
  await using bench = new DomainBench(store);
  const { upload } = await bench.uploading();
  race.on = true;
  assert.equal(await bench.context.recovery.startOver(upload, { reason: 'It changed.' }), undefined);
  await bench.settle();
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  assert.equal((await bench.store.listParts(upload.uploadId)).length, 3);
});

test('an agent that cannot resume and dies of the same upload each time is asked ever more rarely', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const waits: number[] = [];
  let last = agent;
  for (let restart = 1; restart <= 4; restart += 1) {
    await endSession(bench.context, last.session);
    last = await bench.connect('client-1', { capabilities: [] });
    await bench.settle();
    const { nextAttemptAt, restarts } = await bench.upload(upload.uploadId);
    assert.equal(restarts, restart);
    waits.push(nextAttemptAt === null ? 0 : nextAttemptAt - bench.clock.now());
    bench.clock.advance(waits.at(-1) ?? 0);
    bench.context.dispatcher.kick('client-1');
    await bench.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [0, 750, 1500, 3000]);
});

test('the place that an interrupted upload leaves goes to the next in the queue', async () => {
  await using bench = await openBench();
  const agent = await bench.connect('client-1', { maxUploads: 1 });
  const first = await bench.trigger('/data/1');
  const second = await bench.trigger('/data/2');
  const upload = await bench.reaches(first.uploadId, 'preparing');
  assert.equal((await bench.upload(second.uploadId)).status, 'queued');
  await bench.context.recovery.settle(upload, outage);
  await bench.reaches(second.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload').length, 2);
});

test('a multipart upload whose abort was lost with the row that knew it is found by the sweep for orphans', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.context.recovery.settle(upload, lost);
  await bench.until(() => bench.bucket.faultsFired === 1, 'the abort that fails');
  assert.equal(bench.bucket.uploads.size, 1);
  bench.clock.advance(3_600_000);
  await bench.sweep();
  await bench.until(() => bench.bucket.aborted.includes(upload.s3UploadId ?? ''), 'the abort');
});

test('a multipart upload that waits in the queue is no orphan, however old', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.clock.advance(20 * 3_600_000);
  await bench.sweep();
  assert.equal(bench.bucket.count('listMultipartUploads'), 1);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  bench.clock.advance(4 * 3_600_000);
  await bench.sweep();
  const record: Upload = await bench.upload(queued.uploadId);
  assert.equal(record.status, 'expired');
  assert.match(record.message ?? '', /Last: The agent was restarted\./);
  assert.deepEqual(bench.bucket.aborted, [queued.s3UploadId]);
  assert.equal(record.multipartOpen, false);
});
