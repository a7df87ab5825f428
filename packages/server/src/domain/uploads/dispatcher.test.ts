import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { failed } from '../agent-messages/failed.ts';
import { completed } from '../agent-messages/completed.ts';
import { partUploaded } from '../agent-messages/part-uploaded.ts';
import { prepared } from '../agent-messages/prepared.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import {
  type FakeAgent,
  completedMessage,
  failedMessage,
  fakeCrc32,
  partUploadedMessage,
  preparedMessage,
  sayHello,
} from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';
import { RESUME_IS_OFF } from './kept-parts.ts';
import type { Upload } from './upload.ts';

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

/** Triggers made while the agent is away, one millisecond apart. */
async function triggerWhileAway(bench: DomainBench, count: number): Promise<string[]> {
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    bench.clock.advance(1);
    ids.push((await bench.trigger(`/data/${index}`)).uploadId);
  }
  return ids;
}

test('an agent is asked to prepare as the plan rule, the limits and the checksum mode say', async () => {
  await using bench = await openBench({ settings: { maxFileSize: 4096, prepareTimeoutMs: 1234 } });
  const { agent, upload } = await bench.preparing();
  assert.deepEqual(agent.connection.sent('prepare_upload'), [
    {
      action: 'prepare_upload',
      upload_id: upload.uploadId,
      attempt: 1,
      file_path: '/data/report.bin',
      plan: { min_chunk_size: 5 * 1024 * 1024, max_parts: 10_000, window_size: 32, max_file_size: 4096 },
      checksum_mode: 'crc32',
      on_change: 'fail',
      expires_in_ms: 1234,
    },
  ]);
  assert.equal(upload.epoch, agent.session.epoch);
  assert.equal(upload.checksumMode, 'crc32');
  assert.match(upload.objectToken ?? '', /^[0-9a-f-]{36}$/);
});

test('the row is preparing before the agent hears of it', async () => {
  const real = await openSqliteStore(':memory:');
  const order: string[] = [];
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      const won = await real.saveUpload(upload, save);
      order.push(`row ${upload.status}`);
      return won;
    },
  });
  await using bench = new DomainBench(store);
  const agent = await bench.connect();
  const send = agent.connection.send.bind(agent.connection);
  agent.connection.send = (message) => {
    order.push(`frame ${message.action}`);
    send(message);
  };
  await bench.trigger();
  await bench.until(() => order.length === 2, 'row and frame');
  assert.deepEqual(order, ['row preparing', 'frame prepare_upload']);
});

test('the oldest uploads go first, never more at once than the agent takes', async () => {
  await using bench = await openBench();
  const ids = await triggerWhileAway(bench, 4);
  const { connection } = await bench.connect('client-1', { maxUploads: 2 });
  await bench.until(() => connection.sent('prepare_upload').length === 2, 'two prepare_upload');
  await bench.settle();
  assert.deepEqual(
    connection.sent('prepare_upload').map((frame) => frame.upload_id),
    ids.slice(0, 2),
  );
  assert.equal((await bench.upload(ids[2] ?? '')).status, 'queued');
});

test('an upload that ends makes place for the next', async () => {
  await using bench = await openBench();
  const ids = await triggerWhileAway(bench, 3);
  const { connection, session } = await bench.connect('client-1', { maxUploads: 1 });
  const [first = '', second = '', third = ''] = ids;
  await bench.reaches(first, 'preparing');
  await failed(bench.context, session, failedMessage({ uploadId: first, attempt: 1 }, 'file_not_found'));
  await bench.reaches(second, 'preparing');
  await bench.domain.uploads.cancel(second, 'operator-1');
  await bench.reaches(third, 'preparing');
  assert.equal(connection.sent('prepare_upload').length, 3);
});

test('an upload that is completing leaves its place to the next', async () => {
  await using bench = await openBench();
  bench.bucket.hold('completeMultipartUpload');
  const { agent, upload } = await bench.uploading();
  const second = await bench.trigger();
  await completed(bench.context, agent.session, completedMessage(upload));
  await bench.reaches(second.uploadId, 'preparing');
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
});

test('kicked twice, it asks once', async () => {
  await using bench = await openBench();
  const [id = ''] = await triggerWhileAway(bench, 1);
  const { connection } = await bench.connect();
  for (let kick = 0; kick < 5; kick += 1) bench.context.dispatcher.kick('client-1');
  await bench.reaches(id, 'preparing');
  await bench.settle();
  assert.equal(connection.sent('prepare_upload').length, 1);
});

test('however often it is kicked, a client’s queue is looked at once more', async () => {
  const real = await openSqliteStore(':memory:');
  const gate = Promise.withResolvers<void>();
  let looks = 0;
  const store = intercepted<Store>(real, {
    listQueuedIds: async (clientId, options) => {
      looks += 1;
      if (looks === 1) await gate.promise;
      return real.listQueuedIds(clientId, options);
    },
  });
  await using bench = new DomainBench(store);
  await bench.connect();
  await bench.until(() => looks === 1, 'the look after welcome');
  for (let kick = 0; kick < 100; kick += 1) bench.context.dispatcher.kick('client-1');
  gate.resolve();
  await bench.settle();
  assert.equal(looks, 2);
  bench.context.dispatcher.kick('client-1');
  await bench.until(() => looks === 3, 'a look of its own afterwards');
});

for (const [why, putBack] of [
  [
    'the agent was busy',
    (bench: DomainBench, agent: FakeAgent, upload: Upload) =>
      failed(bench.context, agent.session, failedMessage(upload, 'agent_busy')),
  ],
  [
    'the store was away',
    (bench: DomainBench, agent: FakeAgent, upload: Upload) => {
      bench.bucket.fail('createMultipartUpload', 'unavailable');
      return prepared(bench.context, agent.session, preparedMessage(upload));
    },
  ],
] as const) {
  test(`an upload put back because ${why} is handed over again a second later`, async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    await using bench = await openBench();
    const { agent, upload } = await bench.preparing();
    await putBack(bench, agent, upload);
    await bench.settle();
    assert.equal((await bench.upload(upload.uploadId)).status, 'queued', 'not at once');
    bench.clock.advance(1000);
    context.mock.timers.tick(1000);
    assert.equal((await bench.reaches(upload.uploadId, 'preparing')).attempt, 2);

    await putBack(bench, agent, { ...upload, attempt: 2 });
    await bench.domain.stop();
    bench.clock.advance(1000);
    context.mock.timers.tick(1000);
    await bench.settle();
    assert.equal((await bench.upload(upload.uploadId)).status, 'queued', 'nor after the end');
  });
}

test('an upload for an agent that is away stays queued', async () => {
  await using bench = await openBench();
  const [id = ''] = await triggerWhileAway(bench, 1);
  bench.context.dispatcher.kick('client-1');
  await bench.settle();
  assert.equal((await bench.upload(id)).status, 'queued');
  assert.equal(bench.bucket.count('capabilities'), 0);
});

test('while the store’s capabilities are not known, uploads stay queued', async () => {
  await using bench = await openBench();
  bench.bucket.fail('capabilities', 'unavailable');
  const { connection } = await bench.connect();
  const { uploadId } = await bench.trigger();
  await bench.until(() => bench.bucket.faultsFired === 1, 'the fault');
  await bench.settle();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  assert.deepEqual(connection.sent('prepare_upload'), []);
  assert.ok(bench.log.entries.some(({ level }) => level === 'warn'));

  bench.context.dispatcher.kick('client-1');
  await bench.reaches(uploadId, 'preparing');
});

test('while the store is away no agent is asked to read a file in vain', async () => {
  await using bench = await openBench();
  bench.bucket.fail('ping', 'unavailable');
  const { connection } = await bench.connect();
  const { uploadId } = await bench.trigger();
  await bench.until(() => bench.bucket.faultsFired === 1, 'the fault');
  await bench.settle();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  assert.deepEqual(connection.sent('prepare_upload'), []);
  bench.clock.advance(1000);
  await bench.domain.sweeper.sweep();
  await bench.reaches(uploadId, 'preparing');
});

test('a store that only refuses to be asked how it is does not hold up the queue', async () => {
  await using bench = await openBench();
  bench.bucket.fail('ping', 'refused');
  await bench.connect();
  await bench.reaches((await bench.trigger()).uploadId, 'preparing');
  assert.equal(bench.bucket.faultsFired, 1);
});

test('a session that ended while the store was asked is given nothing', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  const release = bench.bucket.hold('capabilities');
  const { uploadId } = await bench.trigger();
  await bench.until(() => bench.bucket.count('capabilities') === 1, 'the question');
  await endSession(bench.context, agent.session);
  release();
  await bench.settle();
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('a session that was replaced while the store was asked leaves the upload to its successor', async () => {
  await using bench = await openBench();
  const old = await bench.connect();
  const release = bench.bucket.hold('capabilities');
  const { uploadId } = await bench.trigger();
  await bench.until(() => bench.bucket.count('capabilities') === 1, 'the question');
  const next = await sayHello(bench.context, 'client-1');
  release();
  const upload = await bench.reaches(uploadId, 'preparing');
  assert.equal(upload.epoch, next.session?.epoch);
  assert.deepEqual(old.connection.sent('prepare_upload'), []);
  assert.equal(next.connection.sent('prepare_upload').length, 1);
});

test('a database that fails leaves the upload queued, and the failure in the log', async () => {
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: () => Promise.reject(new Error('disk I/O error')),
  });
  await using bench = new DomainBench(store);
  const { connection } = await bench.connect();
  await bench.trigger();
  await bench.until(() => bench.log.entries.some(({ level }) => level === 'error'), 'the log entry');
  assert.deepEqual(connection.sent('prepare_upload'), [], 'row first, message second');
});

test('an interrupted upload is not handed over before its time, and then by its timer', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await failed(bench.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  const { nextAttemptAt } = await bench.upload(upload.uploadId);
  const waitMs = (nextAttemptAt ?? 0) - bench.clock.now();
  assert.ok(waitMs > 1000);
  bench.clock.advance(waitMs - 1);
  for (let kick = 0; kick < 3; kick += 1) bench.context.dispatcher.kick('client-1');
  await bench.settle();
  assert.equal((await bench.upload(upload.uploadId)).status, 'queued');
  bench.clock.advance(1);
  context.mock.timers.tick(waitMs);
  await bench.reaches(upload.uploadId, 'preparing');
});

test('a timer that fires early waits for the rest, instead of leaving the upload to the sweeper', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await failed(bench.context, agent.session, failedMessage(upload, 'agent_busy'));
  bench.clock.advance(997);
  context.mock.timers.tick(1000);
  await bench.settle();
  assert.equal((await bench.upload(upload.uploadId)).status, 'queued');
  bench.clock.advance(3);
  context.mock.timers.tick(3);
  await bench.reaches(upload.uploadId, 'preparing');
});

test('an upload that waits for its time costs no looks', async () => {
  const real = await openSqliteStore(':memory:');
  let looks = 0;
  const store = intercepted<Store>(real, {
    listQueuedIds: (clientId, options) => {
      looks += 1;
      return real.listQueuedIds(clientId, options);
    },
  });
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.preparing();
  await bench.settle();
  const before = looks;
  await failed(bench.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  for (let round = 0; round < 20; round += 1) await bench.settle();
  assert.equal(looks - before, 1, 'for whoever may take its place');
});

test('a multipart upload that vanished while its upload waited is begun anew, a few times', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.bucket.loseUploads();
  const agent = await bench.connect();
  const waiting = await bench
    .until(async () => (await bench.upload(queued.uploadId)).restarts === 1, 'the new beginning')
    .then(() => bench.upload(queued.uploadId));
  assert.deepEqual([waiting.status, waiting.s3UploadId, waiting.partsCompleted], ['queued', null, 0]);
  assert.match(waiting.stalledReason ?? '', /no longer has what was sent/);
  assert.deepEqual(await bench.store.listParts(queued.uploadId), []);
  bench.clock.advance(1000);
  bench.context.dispatcher.kick('client-1');
  await bench.reaches(queued.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[0]?.resume, undefined);
});

test('a store that loses every multipart upload ends the upload, with the reason', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  let last = agent;
  let record = upload;
  for (let looks = 0; record.status !== 'failed'; looks += 1) {
    assert.ok(looks < 30, `it goes round: ${record.status}, ${record.restarts} restarts`);
    if (record.status === 'preparing') {
      await prepared(bench.context, last.session, preparedMessage(record));
    } else if (record.status === 'uploading') {
      bench.bucket.loseUploads();
      await endSession(bench.context, last.session);
      last = await bench.connect();
    }
    bench.clock.advance(60_000);
    bench.context.dispatcher.kick('client-1');
    await bench.settle();
    record = await bench.upload(upload.uploadId);
  }
  assert.equal(record.error, 'upload_gone');
  assert.match(record.message ?? '', /begun anew 5 times/);
});

test('an upload whose parts cannot be listed waits by itself, and those behind it have their turn', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const behind = await bench.trigger('/data/behind.bin');
  bench.bucket.fail('listParts', 'unavailable');
  await bench.connect('client-1', { maxUploads: 1 });
  await bench.reaches(behind.uploadId, 'preparing');
  assert.equal(bench.bucket.faultsFired, 1);
  const record = await bench.upload(queued.uploadId);
  assert.equal(record.status, 'queued');
  assert.match(record.stalledReason ?? '', /Waiting for the object store: listParts/);
  assert.ok((record.nextAttemptAt ?? 0) > bench.clock.now());
  assert.equal(record.s3UploadId, queued.s3UploadId, 'nothing is lost');

  await bench.domain.uploads.cancel(behind.uploadId, 'operator-1');
  bench.clock.advance(60_000);
  bench.context.dispatcher.kick('client-1');
  assert.equal((await bench.reaches(queued.uploadId, 'preparing')).partsCompleted, 3);
});

// S3Proxy answers 503 to it once a PUT was cut off in its middle.
for (const s3Code of ['InternalError', 'ServiceUnavailable']) {
  test(`parts that a store which is well does not list, by ${s3Code}, are given up after a few tries`, async () => {
    await using bench = await openBench();
    const queued = await bench.interrupted();
    bench.bucket.breakUpload(queued.s3UploadId, s3Code);
    await bench.connect();
    for (let tries = 1; tries <= 3; tries += 1) {
      await bench.until(() => bench.bucket.count('listParts') === tries, `try ${tries}`);
      await bench.settle();
      bench.clock.advance(60_000);
      bench.context.dispatcher.kick('client-1');
    }
    const again = await bench.reaches(queued.uploadId, 'preparing');
    assert.equal(bench.bucket.count('listParts'), 3);
    assert.deepEqual([again.restarts, again.s3UploadId, again.partsCompleted], [1, null, 0]);
    await bench.until(() => bench.bucket.aborted.includes(queued.s3UploadId ?? ''), 'the abort');
  });
}

test('the stop of the server while the parts are listed leaves the upload as it was', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.bucket.hold('listParts');
  await bench.connect();
  await bench.until(() => bench.bucket.count('listParts') === 1, 'the question');
  await bench.domain.stop();
  await bench.settle();
  assert.deepEqual(await bench.upload(queued.uploadId), queued);
});

test('an upload that is cancelled while its parts are listed is not handed over', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const release = bench.bucket.hold('listParts');
  const { connection } = await bench.connect();
  await bench.until(() => bench.bucket.count('listParts') === 1, 'the question');
  const cancelled = await bench.domain.uploads.cancel(queued.uploadId, 'operator-1');
  release();
  await bench.settle();
  assert.deepEqual(await bench.upload(queued.uploadId), {
    ...cancelled,
    multipartOpen: false,
    version: cancelled.version + 1,
  });
  assert.deepEqual(connection.sent('prepare_upload'), []);
  assert.deepEqual(bench.bucket.aborted, [queued.s3UploadId]);
});

test('an upload that is cancelled and retried while its parts are listed takes nothing of them', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const release = bench.bucket.hold('listParts');
  const { connection } = await bench.connect();
  await bench.until(() => bench.bucket.count('listParts') === 1, 'the question');
  await bench.domain.uploads.cancel(queued.uploadId, 'operator-1');
  await bench.until(async () => !(await bench.upload(queued.uploadId)).multipartOpen, 'the abort');
  await bench.domain.uploads.retry(queued.uploadId, 'operator-1');
  release();
  const upload = await bench.reaches(queued.uploadId, 'preparing');
  assert.deepEqual([upload.s3UploadId, upload.partsCompleted], [null, 0]);
  assert.deepEqual(
    connection.sent('prepare_upload').map(({ attempt, resume }) => ({ attempt, resume })),
    [{ attempt: upload.attempt, resume: undefined }],
  );
});

test('an interrupted upload keeps the checksum mode that its parts were bound by', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.bucket.honours = { ...bench.bucket.honours, checksumMode: 'sha256' };
  const { connection } = await bench.connect();
  await bench.reaches(queued.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload')[0]?.checksum_mode, 'crc32');
});

test('a part that S3 holds otherwise than announced is sent again, and counted once', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.bucket.put(queued.s3UploadId, 2, { crc32: fakeCrc32(9) });
  const { connection } = await bench.connect();
  const upload = await bench.reaches(queued.uploadId, 'preparing');
  assert.deepEqual([upload.partsCompleted, upload.bytesUploaded], [2, 7 * 1024 * 1024]);
  assert.deepEqual(
    connection.sent('prepare_upload')[0]?.resume?.kept_parts.map(({ part_number: number }) => number),
    [1, 3],
  );
  assert.deepEqual(
    (await bench.store.listParts(upload.uploadId)).map(({ etag }) => etag !== null),
    [true, false, true],
  );
});

test('an upload that waits for the store says so, and at its deadline too', async () => {
  await using bench = await openBench();
  await bench.connect();
  bench.bucket.fail('ping', 'unavailable', { times: Infinity });
  const waiting = await bench.trigger();
  const since = bench.clock.now();
  await bench.until(
    async () => (await bench.upload(waiting.uploadId)).stalledSince !== null,
    'a reason to be shown',
  );
  const record = await bench.upload(waiting.uploadId);
  assert.deepEqual([record.status, record.attempt, record.stalledSince], ['queued', 1, since]);
  assert.match(record.stalledReason ?? '', /^Waiting for the object store: /);
  bench.clock.advance(10_000);
  await bench.sweep();
  await bench.settle();
  assert.equal(bench.bucket.count('ping'), 2);
  assert.deepEqual(await bench.upload(waiting.uploadId), record, 'the same is not said twice');

  bench.clock.advance(record.expiresAt - bench.clock.now());
  await bench.sweep();
  const { status, message } = await bench.upload(waiting.uploadId);
  assert.equal(status, 'expired');
  assert.match(message ?? '', /Waiting for the object store/);
});

test('once the store is back nothing is left of the wait', async () => {
  await using bench = await openBench();
  await bench.connect();
  bench.bucket.fail('ping', 'unavailable');
  const { uploadId } = await bench.trigger();
  await bench.until(async () => (await bench.upload(uploadId)).stalledSince !== null, 'the wait');
  bench.clock.advance(1000);
  await bench.sweep();
  const { stalledSince, stalledReason } = await bench.reaches(uploadId, 'preparing');
  assert.deepEqual([stalledSince, stalledReason], [null, null]);
});

test('an attempt that sends stored parts again, because the store does not show them, says so in its record', async () => {
  await using bench = await openBench();
  bench.bucket.honours = { ...bench.bucket.honours, partProof: 'none' };
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 2]));
  await endSession(bench.context, agent.session);
  const again = await bench.connect();
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(record.message, RESUME_IS_OFF);
  assert.equal(record.partsCompleted, 0);
  const [asked] = again.connection.sent('prepare_upload');
  assert.deepEqual(asked?.resume?.kept_parts, []);
  assert.equal(bench.bucket.count('listParts'), 0);
});
