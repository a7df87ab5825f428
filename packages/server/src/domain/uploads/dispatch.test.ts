import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeServerMessage, MAX_FRAME_BYTES } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { completed, failed } from '../agents/handlers/endings.ts';
import { partUploaded } from '../agents/handlers/parts.ts';
import { prepared } from '../agents/handlers/prepared.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../test/harness/server/domain-fixture.ts';
import {
  completedMessage,
  failedMessage,
  type FakeAgent,
  fakeCrc32,
  partUploadedMessage,
  preparedMessage,
  sayHello,
} from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { sampleUploadIn } from '../../../../../test/harness/server/sample-upload.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';
import type { UploadSettings } from '../upload-settings.ts';
import { prepareUpload } from './dispatch.ts';
import { RESUME_DISABLED } from './stored-parts.ts';
import type { Upload, UploadPart } from './upload.ts';

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

/** Triggers uploads while the agent is disconnected, one millisecond apart. */
async function triggerWhileAway(fixture: DomainFixture, count: number): Promise<string[]> {
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    fixture.clock.advance(1);
    ids.push((await fixture.trigger(`/data/${index}`)).uploadId);
  }
  return ids;
}

test('prepare_upload carries the plan rule, the limits and the checksum mode', async () => {
  await using fixture = await openFixture({ settings: { maxFileSize: 4096, prepareTimeoutMs: 1234 } });
  const { agent, upload } = await fixture.preparing();
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

test('the row is preparing before the agent gets the message', async () => {
  const real = await openSqliteStore(':memory:');
  const order: string[] = [];
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      const won = await real.saveUpload(upload, save);
      order.push(`row ${upload.status}`);
      return won;
    },
  });
  await using fixture = new DomainFixture(store);
  const agent = await fixture.connect();
  const send = agent.connection.send.bind(agent.connection);
  agent.connection.send = (message) => {
    order.push(`frame ${message.action}`);
    send(message);
  };
  await fixture.trigger();
  await fixture.until(() => order.length === 2, 'row and frame');
  assert.deepEqual(order, ['row preparing', 'frame prepare_upload']);
});

test('the oldest uploads go first, never more at once than the agent accepts', async () => {
  await using fixture = await openFixture();
  const ids = await triggerWhileAway(fixture, 4);
  const { connection } = await fixture.connect('client-1', { maxUploads: 2 });
  await fixture.until(() => connection.sent('prepare_upload').length === 2, 'two prepare_upload');
  await fixture.idle();
  assert.deepEqual(
    connection.sent('prepare_upload').map((frame) => frame.upload_id),
    ids.slice(0, 2),
  );
  assert.equal((await fixture.upload(ids[2] ?? '')).status, 'queued');
});

test('an upload that ends frees its slot for the next', async () => {
  await using fixture = await openFixture();
  const ids = await triggerWhileAway(fixture, 3);
  const { connection, session } = await fixture.connect('client-1', { maxUploads: 1 });
  const [first = '', second = '', third = ''] = ids;
  await fixture.reaches(first, 'preparing');
  await failed(fixture.context, session, failedMessage({ uploadId: first, attempt: 1 }, 'file_not_found'));
  await fixture.reaches(second, 'preparing');
  await fixture.domain.uploads.cancel(second, 'operator-1');
  await fixture.reaches(third, 'preparing');
  assert.equal(connection.sent('prepare_upload').length, 3);
});

test('a completing upload frees its slot for the next', async () => {
  await using fixture = await openFixture();
  fixture.bucket.hold('completeMultipartUpload');
  const { agent, upload } = await fixture.uploading();
  const second = await fixture.trigger();
  await completed(fixture.context, agent.session, completedMessage(upload));
  await fixture.reaches(second.uploadId, 'preparing');
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
});

test('scheduled twice, it sends one message', async () => {
  await using fixture = await openFixture();
  const [id = ''] = await triggerWhileAway(fixture, 1);
  const { connection } = await fixture.connect();
  for (let schedule = 0; schedule < 5; schedule += 1) fixture.context.dispatcher.schedule('client-1');
  await fixture.reaches(id, 'preparing');
  await fixture.idle();
  assert.equal(connection.sent('prepare_upload').length, 1);
});

test('any number of calls during a run causes one more run', async () => {
  const real = await openSqliteStore(':memory:');
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  const store = intercepted<Store>(real, {
    listQueuedIds: async (clientId, options) => {
      runs += 1;
      if (runs === 1) await gate.promise;
      return real.listQueuedIds(clientId, options);
    },
  });
  await using fixture = new DomainFixture(store);
  await fixture.connect();
  await fixture.until(() => runs === 1, 'the run after welcome');
  for (let schedule = 0; schedule < 100; schedule += 1) fixture.context.dispatcher.schedule('client-1');
  gate.resolve();
  await fixture.idle();
  assert.equal(runs, 2);
  fixture.context.dispatcher.schedule('client-1');
  await fixture.until(() => runs === 3, 'one more run afterwards');
});

for (const [why, putBack] of [
  [
    'the agent was busy',
    (fixture: DomainFixture, agent: FakeAgent, upload: Upload) =>
      failed(fixture.context, agent.session, failedMessage(upload, 'agent_busy')),
  ],
  [
    'the store was unavailable',
    (fixture: DomainFixture, agent: FakeAgent, upload: Upload) => {
      fixture.bucket.fail('createMultipartUpload', 'unavailable');
      return prepared(fixture.context, agent.session, preparedMessage(upload));
    },
  ],
] as const) {
  test(`an upload requeued because ${why} is dispatched again a second later`, async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.preparing();
    await putBack(fixture, agent, upload);
    await fixture.idle();
    assert.equal((await fixture.upload(upload.uploadId)).status, 'queued', 'not immediately');
    fixture.clock.advance(1000);
    context.mock.timers.tick(1000);
    assert.equal((await fixture.reaches(upload.uploadId, 'preparing')).attempt, 2);

    await putBack(fixture, agent, { ...upload, attempt: 2 });
    await fixture.domain.stop();
    fixture.clock.advance(1000);
    context.mock.timers.tick(1000);
    await fixture.idle();
    assert.equal((await fixture.upload(upload.uploadId)).status, 'queued', 'nor after the end');
  });
}

test('an upload for a disconnected agent stays queued', async () => {
  await using fixture = await openFixture();
  const [id = ''] = await triggerWhileAway(fixture, 1);
  fixture.context.dispatcher.schedule('client-1');
  await fixture.idle();
  assert.equal((await fixture.upload(id)).status, 'queued');
  assert.equal(fixture.bucket.count('capabilities'), 0);
});

test('while the store’s capabilities are unknown, uploads stay queued', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('capabilities', 'unavailable');
  const { connection } = await fixture.connect();
  const { uploadId } = await fixture.trigger();
  await fixture.until(() => fixture.bucket.faultsFired === 1, 'the fault');
  await fixture.idle();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  assert.deepEqual(connection.sent('prepare_upload'), []);
  assert.ok(fixture.log.entries.some(({ level }) => level === 'warn'));

  fixture.context.dispatcher.schedule('client-1');
  await fixture.reaches(uploadId, 'preparing');
});

test('while the store is unavailable no agent reads a file in vain', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('ping', 'unavailable');
  const { connection } = await fixture.connect();
  const { uploadId } = await fixture.trigger();
  await fixture.until(() => fixture.bucket.faultsFired === 1, 'the fault');
  await fixture.idle();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  assert.deepEqual(connection.sent('prepare_upload'), []);
  fixture.clock.advance(1000);
  await fixture.domain.sweeper.sweep();
  await fixture.reaches(uploadId, 'preparing');
});

test('a store that only refuses the health check does not hold up the queue', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('ping', 'refused');
  await fixture.connect();
  await fixture.reaches((await fixture.trigger()).uploadId, 'preparing');
  assert.equal(fixture.bucket.faultsFired, 1);
});

test('a session that ended during a store call gets no upload', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  const release = fixture.bucket.hold('capabilities');
  const { uploadId } = await fixture.trigger();
  await fixture.until(() => fixture.bucket.count('capabilities') === 1, 'the call');
  await endSession(fixture.context, agent.session);
  release();
  await fixture.idle();
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('a session replaced during a store call leaves the upload to its successor', async () => {
  await using fixture = await openFixture();
  const old = await fixture.connect();
  const release = fixture.bucket.hold('capabilities');
  const { uploadId } = await fixture.trigger();
  await fixture.until(() => fixture.bucket.count('capabilities') === 1, 'the call');
  const next = await sayHello(fixture.context, 'client-1');
  release();
  const upload = await fixture.reaches(uploadId, 'preparing');
  assert.equal(upload.epoch, next.session?.epoch);
  assert.deepEqual(old.connection.sent('prepare_upload'), []);
  assert.equal(next.connection.sent('prepare_upload').length, 1);
});

test('a failing database leaves the upload queued and is logged', async () => {
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: () => Promise.reject(new Error('disk I/O error')),
  });
  await using fixture = new DomainFixture(store);
  const { connection } = await fixture.connect();
  await fixture.trigger();
  await fixture.until(() => fixture.log.entries.some(({ level }) => level === 'error'), 'the log entry');
  assert.deepEqual(connection.sent('prepare_upload'), [], 'row first, message second');
});

test('an interrupted upload is dispatched by a timer at its time, not before', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await failed(fixture.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  const { nextAttemptAt } = await fixture.upload(upload.uploadId);
  const waitMs = (nextAttemptAt ?? 0) - fixture.clock.now();
  assert.ok(waitMs > 1000);
  fixture.clock.advance(waitMs - 1);
  for (let schedule = 0; schedule < 3; schedule += 1) fixture.context.dispatcher.schedule('client-1');
  await fixture.idle();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'queued');
  fixture.clock.advance(1);
  context.mock.timers.tick(waitMs);
  await fixture.reaches(upload.uploadId, 'preparing');
});

test('a timer that fires early waits for the rest instead of leaving the upload to the sweeper', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await failed(fixture.context, agent.session, failedMessage(upload, 'agent_busy'));
  fixture.clock.advance(997);
  context.mock.timers.tick(1000);
  await fixture.idle();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'queued');
  fixture.clock.advance(3);
  context.mock.timers.tick(3);
  await fixture.reaches(upload.uploadId, 'preparing');
});

test('an upload waiting for its time causes no runs', async () => {
  const real = await openSqliteStore(':memory:');
  let runs = 0;
  const store = intercepted<Store>(real, {
    listQueuedIds: (clientId, options) => {
      runs += 1;
      return real.listQueuedIds(clientId, options);
    },
  });
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.preparing();
  await fixture.idle();
  const before = runs;
  await failed(fixture.context, agent.session, failedMessage(upload, 'storage_unavailable'));
  for (let round = 0; round < 20; round += 1) await fixture.idle();
  assert.equal(runs - before, 1, 'for the upload that may take its slot');
});

test('an upload whose multipart upload disappeared in the queue restarts, a few times', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.bucket.loseUploads();
  const agent = await fixture.connect();
  const waiting = await fixture
    .until(async () => (await fixture.upload(queued.uploadId)).restarts === 1, 'the restart')
    .then(() => fixture.upload(queued.uploadId));
  assert.deepEqual([waiting.status, waiting.s3UploadId, waiting.partsCompleted], ['queued', null, 0]);
  assert.match(waiting.stalledReason ?? '', /no longer has the sent parts/);
  assert.deepEqual(await fixture.store.listParts(queued.uploadId), []);
  fixture.clock.advance(1000);
  fixture.context.dispatcher.schedule('client-1');
  await fixture.reaches(queued.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[0]?.resume, undefined);
});

test('a store that loses every multipart upload ends the upload with the reason', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  let last = agent;
  let record = upload;
  for (let runs = 0; record.status !== 'failed'; runs += 1) {
    assert.ok(runs < 30, `endless loop: ${record.status}, ${record.restarts} restarts`);
    if (record.status === 'preparing') {
      await prepared(fixture.context, last.session, preparedMessage(record));
    } else if (record.status === 'uploading') {
      fixture.bucket.loseUploads();
      await endSession(fixture.context, last.session);
      last = await fixture.connect();
    }
    fixture.clock.advance(60_000);
    fixture.context.dispatcher.schedule('client-1');
    await fixture.idle();
    record = await fixture.upload(upload.uploadId);
  }
  assert.equal(record.error, 'upload_gone');
  assert.match(record.message ?? '', /Restarted 5 times/);
});

test('an upload whose parts cannot be listed waits on its own without blocking those behind it', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const behind = await fixture.trigger('/data/behind.bin');
  fixture.bucket.fail('listParts', 'unavailable');
  await fixture.connect('client-1', { maxUploads: 1 });
  await fixture.reaches(behind.uploadId, 'preparing');
  assert.equal(fixture.bucket.faultsFired, 1);
  const record = await fixture.upload(queued.uploadId);
  assert.equal(record.status, 'queued');
  assert.match(record.stalledReason ?? '', /Waiting for the object store: listParts/);
  assert.ok((record.nextAttemptAt ?? 0) > fixture.clock.now());
  assert.equal(record.s3UploadId, queued.s3UploadId, 'nothing is lost');

  await fixture.domain.uploads.cancel(behind.uploadId, 'operator-1');
  fixture.clock.advance(60_000);
  fixture.context.dispatcher.schedule('client-1');
  assert.equal((await fixture.reaches(queued.uploadId, 'preparing')).partsCompleted, 3);
});

// S3Proxy responds 503 to it once a PUT was cut off in the middle.
for (const s3Code of ['InternalError', 'ServiceUnavailable']) {
  test(`parts that an otherwise healthy store fails to list with ${s3Code} are given up after a few tries`, async () => {
    await using fixture = await openFixture();
    const queued = await fixture.interrupted();
    fixture.bucket.breakUpload(queued.s3UploadId, s3Code);
    await fixture.connect();
    for (let tries = 1; tries <= 3; tries += 1) {
      await fixture.until(() => fixture.bucket.count('listParts') === tries, `try ${tries}`);
      await fixture.idle();
      fixture.clock.advance(60_000);
      fixture.context.dispatcher.schedule('client-1');
    }
    const again = await fixture.reaches(queued.uploadId, 'preparing');
    assert.equal(fixture.bucket.count('listParts'), 3);
    assert.deepEqual([again.restarts, again.s3UploadId, again.partsCompleted], [1, null, 0]);
    await fixture.until(() => fixture.bucket.aborted.includes(queued.s3UploadId ?? ''), 'the abort');
  });
}

test('stopping the server while parts are listed leaves the upload unchanged', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.bucket.hold('listParts');
  await fixture.connect();
  await fixture.until(() => fixture.bucket.count('listParts') === 1, 'the call');
  await fixture.domain.stop();
  await fixture.idle();
  assert.deepEqual(await fixture.upload(queued.uploadId), queued);
});

test('an upload cancelled while its parts are listed is not dispatched', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const release = fixture.bucket.hold('listParts');
  const { connection } = await fixture.connect();
  await fixture.until(() => fixture.bucket.count('listParts') === 1, 'the call');
  const cancelled = await fixture.domain.uploads.cancel(queued.uploadId, 'operator-1');
  release();
  await fixture.idle();
  assert.deepEqual(await fixture.upload(queued.uploadId), {
    ...cancelled,
    multipartOpen: false,
    version: cancelled.version + 1,
  });
  assert.deepEqual(connection.sent('prepare_upload'), []);
  assert.deepEqual(fixture.bucket.aborted, [queued.s3UploadId]);
});

test('an upload cancelled and retried while its parts are listed uses none of them', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const release = fixture.bucket.hold('listParts');
  const { connection } = await fixture.connect();
  await fixture.until(() => fixture.bucket.count('listParts') === 1, 'the call');
  await fixture.domain.uploads.cancel(queued.uploadId, 'operator-1');
  await fixture.until(async () => !(await fixture.upload(queued.uploadId)).multipartOpen, 'the abort');
  await fixture.domain.uploads.retry(queued.uploadId, 'operator-1');
  release();
  const upload = await fixture.reaches(queued.uploadId, 'preparing');
  assert.deepEqual([upload.s3UploadId, upload.partsCompleted], [null, 0]);
  assert.deepEqual(
    connection.sent('prepare_upload').map(({ attempt, resume }) => ({ attempt, resume })),
    [{ attempt: upload.attempt, resume: undefined }],
  );
});

test('an interrupted upload keeps the checksum mode its parts were bound with', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.bucket.supports = { ...fixture.bucket.supports, checksumMode: 'sha256' };
  const { connection } = await fixture.connect();
  await fixture.reaches(queued.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload')[0]?.checksum_mode, 'crc32');
});

test('a part that S3 has with other content than announced is sent again, and counted once', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.bucket.put(queued.s3UploadId, 2, { crc32: fakeCrc32(9) });
  const { connection } = await fixture.connect();
  const upload = await fixture.reaches(queued.uploadId, 'preparing');
  assert.deepEqual([upload.partsCompleted, upload.bytesUploaded], [2, 7 * 1024 * 1024]);
  assert.deepEqual(
    connection.sent('prepare_upload')[0]?.resume?.kept_parts.map(({ part_number: number }) => number),
    [1, 3],
  );
  assert.deepEqual(
    (await fixture.store.listParts(upload.uploadId)).map(({ etag }) => etag !== null),
    [true, false, true],
  );
});

test('an upload waiting for the store says so, also when it expires', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  fixture.bucket.fail('ping', 'unavailable', { times: Infinity });
  const waiting = await fixture.trigger();
  const since = fixture.clock.now();
  await fixture.until(
    async () => (await fixture.upload(waiting.uploadId)).stalledSince !== null,
    'a displayed reason',
  );
  const record = await fixture.upload(waiting.uploadId);
  assert.deepEqual([record.status, record.attempt, record.stalledSince], ['queued', 1, since]);
  assert.match(record.stalledReason ?? '', /^Waiting for the object store: /);
  fixture.clock.advance(10_000);
  await fixture.sweep();
  await fixture.idle();
  assert.equal(fixture.bucket.count('ping'), 2);
  assert.deepEqual(await fixture.upload(waiting.uploadId), record, 'the same reason is not written twice');

  fixture.clock.advance(record.expiresAt - fixture.clock.now());
  await fixture.sweep();
  const { status, message } = await fixture.upload(waiting.uploadId);
  assert.equal(status, 'expired');
  assert.match(message ?? '', /Waiting for the object store/);
});

test('once the store is back the stall is cleared', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  fixture.bucket.fail('ping', 'unavailable');
  const { uploadId } = await fixture.trigger();
  await fixture.until(async () => (await fixture.upload(uploadId)).stalledSince !== null, 'the wait');
  fixture.clock.advance(1000);
  await fixture.sweep();
  const { stalledSince, stalledReason } = await fixture.reaches(uploadId, 'preparing');
  assert.deepEqual([stalledSince, stalledReason], [null, null]);
});

test('an attempt that re-sends stored parts because the store does not list them says so in its record', async () => {
  await using fixture = await openFixture();
  fixture.bucket.supports = { ...fixture.bucket.supports, partProof: 'none' };
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 2]));
  await endSession(fixture.context, agent.session);
  const again = await fixture.connect();
  const record = await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(record.message, RESUME_DISABLED);
  assert.equal(record.partsCompleted, 0);
  const [asked] = again.connection.sent('prepare_upload');
  assert.deepEqual(asked?.resume?.kept_parts, []);
  assert.equal(fixture.bucket.count('listParts'), 0);
});

const settings: UploadSettings = {
  bucketName: 'b',
  keyPrefix: 'uploads',
  maxFileSize: 1000,
  limits: {},
  lifetimeMs: 1,
  prepareTimeoutMs: 600_000,
  maxBackoffMs: 1,
};
const sha256 = Buffer.alloc(32, 0xff).toString('base64');
const md5 = Buffer.alloc(16, 0xff).toString('base64');

function part(partNumber: number): UploadPart {
  return { partNumber, sizeBytes: 5_242_880, crc32: fakeCrc32(partNumber), sha256, md5, etag: '"e"' };
}

const stored = (...numbers: number[]) => numbers.map((partNumber) => ({ partNumber, etag: '"e"' }));
const numbered = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('prepare_upload', () => {
  test('starts from scratch if no multipart upload exists', () => {
    const upload = { ...sampleUploadIn('preparing'), onChange: 'restart' } as const;
    assert.deepEqual(prepareUpload(upload, { stored: [], known: [], settings, limits: null }), {
      action: 'prepare_upload',
      upload_id: upload.uploadId,
      attempt: 1,
      file_path: '/data/report.bin',
      plan: { min_chunk_size: 5_242_880, max_parts: 10_000, window_size: 32, max_file_size: 1000 },
      checksum_mode: 'crc32',
      on_change: 'restart',
      expires_in_ms: 600_000,
    });
  });

  test('carries the limits that apply to it', () => {
    const limits = { parallel_parts: 2, max_rate: 250_000 };
    const message = prepareUpload(sampleUploadIn('preparing'), { stored: [], known: [], settings, limits });
    assert.deepEqual(message.limits, limits);
  });

  const interrupted: Upload = { ...sampleUploadIn('uploading'), status: 'preparing', attempt: 2 };

  test('resumes with the recorded parts that are stored', () => {
    const { resume } = prepareUpload(interrupted, {
      stored: stored(1, 3),
      known: numbered(3).map(part),
      settings,
      limits: null,
    });
    assert.deepEqual(resume, {
      size: interrupted.sizeBytes,
      fingerprint: interrupted.fingerprint,
      kept_parts: [
        { part_number: 1, crc32: fakeCrc32(1) },
        { part_number: 3, crc32: fakeCrc32(3) },
      ],
    });
  });

  test('resumes even without stored parts, because the multipart upload exists', () => {
    const { resume } = prepareUpload(interrupted, { stored: [], known: [part(1)], settings, limits: null });
    assert.deepEqual(resume?.kept_parts, []);
  });

  test('contains only the checksum that binds the parts', () => {
    const upload = { ...interrupted, checksumMode: 'sha256' } as const;
    const { resume } = prepareUpload(upload, { stored: stored(2), known: [part(2)], settings, limits: null });
    assert.deepEqual(resume?.kept_parts, [{ part_number: 2, crc32: fakeCrc32(2), sha256 }]);
  });

  test('fits into a frame with ten thousand stored parts in mode sha256, and the agent can parse it', () => {
    const upload: Upload = {
      ...interrupted,
      checksumMode: 'sha256',
      filePath: '😀'.repeat(1024),
      sizeBytes: Number.MAX_SAFE_INTEGER,
      partCount: 10_000,
    };
    const message = prepareUpload(upload, {
      stored: stored(...numbered(10_000)),
      known: numbered(10_000).map(part),
      settings,
      limits: null,
    });
    const frame = JSON.stringify(message);
    assert.ok(Buffer.byteLength(frame) < MAX_FRAME_BYTES, `${Buffer.byteLength(frame)} bytes`);
    const decoded = decodeServerMessage(frame);
    assert.ok(decoded.ok, decoded.ok ? '' : decoded.problem);
    assert.ok(decoded.message.action === 'prepare_upload');
    assert.equal(decoded.message.resume?.kept_parts.length, 10_000);
  });
});
