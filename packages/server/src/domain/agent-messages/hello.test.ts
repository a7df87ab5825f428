import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import {
  announce,
  completedMessage,
  fakeCrc32,
  FILE_BYTES,
  partUploadedMessage,
  partsReadyMessage,
  preparedMessage,
  resumedMessage,
  sayHello,
  uploadedParts,
} from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';
import type { Upload } from '../uploads/upload.ts';
import { completed } from './completed.ts';
import { partUploaded } from './part-uploaded.ts';
import { partsReady } from './parts-ready.ts';
import { prepared } from './prepared.ts';
import { resumed } from './resumed.ts';

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

const running = (upload: Upload, attempt = upload.attempt) => ({
  running: [{ upload_id: upload.uploadId, attempt }],
});

test('hello makes the client known, as it describes itself', async () => {
  await using bench = await openBench();
  const { connection, session } = await bench.connect('client-1', {
    default_file_path: '/data/report.bin',
    platform: { os: 'linux', arch: 'arm64', hostname: 'till-3' },
  });
  assert.deepEqual(await bench.store.getClient('client-1'), {
    clientId: 'client-1',
    firstSeenAt: bench.clock.now(),
    lastSeenAt: bench.clock.now(),
    agentVersion: '1.2.3',
    platform: { os: 'linux', arch: 'arm64', hostname: 'till-3' },
    capabilities: ['list_directory', 'resume'],
    labels: { site: 'berlin' },
    defaultFilePath: '/data/report.bin',
    epoch: 1,
    connectedSince: bench.clock.now(),
    tokenExpiresAt: connection.token.expiresAt,
    block: null,
    limits: null,
    remoteAddress: null,
  });
  assert.deepEqual(connection.sent('welcome'), [
    {
      action: 'welcome',
      server_version: '0.0.0-test',
      session_id: session.sessionId,
      epoch: 1,
      heartbeat_interval_ms: 20_000,
      dead_after_ms: 45_000,
      progress_interval_ms: 1000,
      uploads: [],
    },
  ]);
});

test('welcome comes before any other message', async () => {
  await using bench = await openBench();
  const first = await bench.connect();
  await endSession(bench.context, first.session);
  const { uploadId } = await bench.trigger();
  const { connection } = await bench.connect();
  await bench.reaches(uploadId, 'preparing');
  await bench.until(() => connection.frames.length === 2, 'two frames');
  assert.deepEqual(
    connection.frames.map(({ action }) => action),
    ['welcome', 'prepare_upload'],
  );
});

test('an upload that the agent still runs goes on, under the new epoch', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await endSession(bench.context, agent.session);
  assert.notEqual((await bench.upload(upload.uploadId)).stalledSince, null);

  const { connection, session } = await bench.connect('client-1', running(upload));
  assert.deepEqual(connection.sent('welcome')[0]?.uploads, [
    { upload_id: upload.uploadId, attempt: 1, verdict: 'continue' },
  ]);
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'uploading');
  assert.equal(record.epoch, session.epoch);
  assert.equal(record.stalledSince, null);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  await partUploaded(bench.context, session, partUploadedMessage(upload, [1]));
  assert.equal((await bench.upload(upload.uploadId)).partsCompleted, 1);
});

test('an upload that the agent was preparing goes on', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await endSession(bench.context, agent.session);
  const { connection, session } = await bench.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'continue');
  await prepared(bench.context, session, preparedMessage(upload));
  await bench.reaches(upload.uploadId, 'uploading');
});

test('an upload that the agent has lost is a new attempt, with the parts that the store holds', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading({ sent: [1, 2] });
  // What was stored counts, not what was reported.
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  await endSession(bench.context, agent.session);
  const { connection, session } = await bench.connect();
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([record.attempt, record.epoch], [2, session.epoch]);
  assert.deepEqual([record.partsCompleted, record.bytesUploaded], [2, 2 * 5_242_880]);
  assert.equal(record.s3UploadId, upload.s3UploadId);
  assert.equal(record.objectToken, upload.objectToken, 'it is in the metadata of the multipart upload');
  const [asked] = connection.sent('prepare_upload');
  assert.equal(asked?.attempt, 2);
  assert.deepEqual(asked.resume, {
    size: FILE_BYTES,
    fingerprint: upload.fingerprint,
    kept_parts: [1, 2].map((number) => ({ part_number: number, crc32: fakeCrc32(number) })),
  });

  await resumed(bench.context, session, resumedMessage(record));
  assert.equal((await bench.upload(upload.uploadId)).status, 'uploading');
  await partsReady(bench.context, session, partsReadyMessage(record, announce(FILE_BYTES, [3])));
  assert.equal(connection.sent('part_urls').length, 1);
  bench.bucket.put(upload.s3UploadId, 3);
  const last = completedMessage(record, { parts: uploadedParts([3]), resumed: true });
  await completed(bench.context, session, last);
  const end = await bench.reaches(upload.uploadId, 'completed');
  assert.deepEqual([end.partsCompleted, end.bytesUploaded], [3, FILE_BYTES]);
  assert.equal(bench.bucket.count('createMultipartUpload'), 1);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
});

test('an agent that cannot resume starts over: the old multipart upload is aborted', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1, 2]));
  await endSession(bench.context, agent.session);
  const { connection } = await bench.connect('client-1', { capabilities: ['list_directory'] });
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([record.s3UploadId, record.partsCompleted, record.restarts], [null, 0, 1]);
  assert.notEqual(record.objectToken, upload.objectToken);
  assert.deepEqual(await bench.store.listParts(upload.uploadId), []);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
  assert.equal(bench.bucket.count('listParts'), 0, 'what it cannot use is not asked for');
  const [asked, ...more] = connection.sent('prepare_upload');
  assert.deepEqual([asked?.attempt, asked?.resume, more.length], [record.attempt, undefined, 0]);
});

test('an upload that was only being prepared as its agent died is prepared anew', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await endSession(bench.context, agent.session);
  const { connection } = await bench.connect();
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(record.attempt, 2);
  assert.notEqual(record.objectToken, upload.objectToken, 'its Create may still be on its way');
  assert.equal(connection.sent('prepare_upload')[0]?.resume, undefined);
});

test('an upload that takes its agent down each time leaves others their turn, and a stored part makes up for it', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading({ sent: [] });
  let last = agent;
  const restartAgent = async () => {
    await endSession(bench.context, last.session);
    last = await bench.connect('client-1', { maxUploads: 1 });
    await bench.settle();
    return bench.upload(upload.uploadId);
  };
  assert.equal((await restartAgent()).status, 'preparing', 'the first time at once');
  const behind = await bench.trigger('/data/other.bin');
  const waiting = await restartAgent();
  assert.equal(waiting.status, 'queued');
  assert.ok((waiting.nextAttemptAt ?? 0) > bench.clock.now());
  await bench.reaches(behind.uploadId, 'preparing');
  await bench.domain.uploads.cancel(behind.uploadId, 'operator-1');

  bench.clock.advance(1000);
  bench.context.dispatcher.kick('client-1');
  const again = await bench.reaches(upload.uploadId, 'preparing');
  await resumed(bench.context, last.session, resumedMessage(again));
  await partUploaded(bench.context, last.session, partUploadedMessage(again, [1]));
  assert.equal((await restartAgent()).status, 'preparing');
});

test('an abort that fails does not keep the upload from starting over', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await endSession(bench.context, agent.session);
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.connect('client-1', { capabilities: [] });
  await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(bench.bucket.faultsFired, 1);
});

test('another attempt than the server’s is dropped, and its upload goes on as the next', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await endSession(bench.context, agent.session);
  const { connection } = await bench.connect('client-1', running(upload, 7));
  assert.deepEqual(connection.sent('welcome')[0]?.uploads, [
    { upload_id: upload.uploadId, attempt: 7, verdict: 'drop' },
  ]);
  assert.equal((await bench.reaches(upload.uploadId, 'preparing')).attempt, 2);
});

test('an upload that has ended, or is another client’s, is dropped', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  const stranger = await bench.connect('client-2', running(upload));
  assert.equal(stranger.connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  const before = await bench.upload(upload.uploadId);
  assert.equal(before.status, 'uploading', 'which does not touch it');

  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  const { connection } = await bench.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  assert.equal((await bench.upload(upload.uploadId)).status, 'cancelled');
});

test('an upload that is completing is dropped by the agent and goes on at the server', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  const { connection } = await bench.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  release();
  await bench.reaches(upload.uploadId, 'completed');
});

test('a newer session closes the older one', async () => {
  await using bench = await openBench();
  const first = await bench.connect();
  const second = await bench.connect();
  assert.equal(first.connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(second.connection.closes, []);
  assert.equal(bench.context.sessions.get('client-1'), second.session);
});

/** A bench where the answer of the next `name` call is held back until it is let go. */
async function holding(name: 'openSession' | 'listRunningIds') {
  const real = await openSqliteStore(':memory:');
  const state: { hold: Promise<void> | undefined; reached: () => void } = {
    hold: undefined,
    reached: () => {},
  };
  const held = async <Result>(result: Promise<Result>): Promise<Result> => {
    const { hold, reached } = state;
    state.hold = undefined;
    const settled = await result;
    if (hold !== undefined) {
      reached();
      await hold;
    }
    return settled;
  };
  const store = intercepted<Store>(
    real,
    name === 'openSession'
      ? { openSession: (session) => held(real.openSession(session)) }
      : { listRunningIds: (clientId) => held(real.listRunningIds(clientId)) },
  );
  /** @returns `reached` resolves when the call waits; `letGo` ends that. */
  const hold = (): { reached: Promise<void>; letGo: () => void } => {
    const waiting = Promise.withResolvers<void>();
    const going = Promise.withResolvers<void>();
    state.hold = going.promise;
    state.reached = waiting.resolve;
    return { reached: waiting.promise, letGo: going.resolve };
  };
  return { bench: new DomainBench(store), hold };
}

test('an older hello that comes last loses', async () => {
  const { bench: opened, hold } = await holding('openSession');
  await using bench = opened;
  const { reached, letGo } = hold();
  const older = sayHello(bench.context, 'client-1');
  await reached;
  const newer = await bench.connect();
  letGo();
  const { connection, session } = await older;
  assert.equal(session, undefined);
  assert.equal(connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(connection.sent('welcome'), []);
  assert.equal(bench.context.sessions.get('client-1'), newer.session);
  assert.deepEqual(newer.connection.closes, []);
});

for (const stillRuns of [true, false]) {
  const claim = stillRuns ? 'claims' : 'knows nothing of';
  test(`an older hello that is slow and ${claim} an upload does not take it from the newer one`, async () => {
    const { bench: opened, hold } = await holding('listRunningIds');
    await using bench = opened;
    const { agent, upload } = await bench.uploading();
    await endSession(bench.context, agent.session);
    const { reached, letGo } = hold();
    const older = sayHello(bench.context, 'client-1', stillRuns ? running(upload) : {});
    await reached;
    const newer = await bench.connect('client-1', running(upload));
    letGo();
    await older;
    await bench.settle();
    const record = await bench.upload(upload.uploadId);
    assert.equal(record.status, 'uploading');
    assert.equal(record.attempt, 1);
    assert.equal(record.epoch, newer.session.epoch);
    assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  });
}

test('an upload triggered during hello is handed over after welcome', async () => {
  const { bench: opened, hold } = await holding('listRunningIds');
  await using bench = opened;
  await endSession(bench.context, (await bench.connect()).session);
  const { reached, letGo } = hold();
  const greeting = bench.connect();
  await reached;
  const { uploadId } = await bench.trigger();
  await bench.settle();
  await assert.rejects(bench.context.commands.run('client-1', 'health_check', {}), {
    code: 'client_offline',
  });
  assert.equal((await bench.upload(uploadId)).status, 'queued');
  letGo();
  const { connection } = await greeting;
  const upload = await bench.reaches(uploadId, 'preparing');
  assert.equal(upload.attempt, 1);
  await bench.until(() => connection.frames.length === 2, 'two frames');
  assert.deepEqual(
    connection.frames.map(({ action }) => action),
    ['welcome', 'prepare_upload'],
  );
});

test('a hello that the database fails leaves no session, and no upload that seems to be moved by one', async () => {
  const real = await openSqliteStore(':memory:');
  const broken = { uploadId: '' };
  const store = intercepted<Store>(real, {
    getUpload: async (uploadId) => {
      if (uploadId === broken.uploadId) {
        broken.uploadId = '';
        throw new StoreError('the disk is full');
      }
      return real.getUpload(uploadId);
    },
  });
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.uploading();
  const second = await bench.trigger();
  await bench.reaches(second.uploadId, 'preparing');
  await endSession(bench.context, agent.session);
  broken.uploadId = second.uploadId;
  await assert.rejects(sayHello(bench.context, 'client-1', running(upload)), StoreError);
  assert.equal(broken.uploadId, '', 'the fault fired');
  assert.equal(bench.context.sessions.newest('client-1'), undefined);
  assert.equal((await bench.store.getClient('client-1'))?.connectedSince, null);
  const adopted = await bench.upload(upload.uploadId);
  assert.equal(adopted.status, 'uploading');
  assert.notEqual(adopted.stalledSince, null);
});
