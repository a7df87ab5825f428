import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../../test/harness/server/domain-fixture.ts';
import {
  announce,
  completedMessage,
  fakeCrc32,
  FILE_BYTES,
  partsReadyMessage,
  partUploadedMessage,
  preparedMessage,
  resumedMessage,
  sayHello,
  uploadedParts,
} from '../../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../../test/doubles/intercepted.ts';
import { type Store, StoreError } from '../../ports/store.ts';
import type { Upload } from '../../uploads/upload.ts';
import { completed } from './endings.ts';
import { endSession } from './hello.ts';
import { partsReady, partUploaded } from './parts.ts';
import { prepared, resumed } from './prepared.ts';

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

const running = (upload: Upload, attempt = upload.attempt) => ({
  running: [{ upload_id: upload.uploadId, attempt }],
});

test('hello records the client with its own description', async () => {
  await using fixture = await openFixture();
  const { connection, session } = await fixture.connect('client-1', {
    default_file_path: '/data/report.bin',
    platform: { os: 'linux', arch: 'arm64', hostname: 'till-3' },
  });
  assert.deepEqual(await fixture.store.getClient('client-1'), {
    clientId: 'client-1',
    firstSeenAt: fixture.clock.now(),
    lastSeenAt: fixture.clock.now(),
    agentVersion: '1.2.3',
    platform: { os: 'linux', arch: 'arm64', hostname: 'till-3' },
    capabilities: ['health_check', 'list_directory', 'resume'],
    labels: { site: 'berlin' },
    defaultFilePath: '/data/report.bin',
    epoch: 1,
    connectedSince: fixture.clock.now(),
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

test('welcome is sent before any other message', async () => {
  await using fixture = await openFixture();
  const first = await fixture.connect();
  await endSession(fixture.context, first.session);
  const { uploadId } = await fixture.trigger();
  const { connection } = await fixture.connect();
  await fixture.reaches(uploadId, 'preparing');
  await fixture.until(() => connection.frames.length === 2, 'two frames');
  assert.deepEqual(
    connection.frames.map(({ action }) => action),
    ['welcome', 'prepare_upload'],
  );
});

test('an upload that the agent still runs continues under the new epoch', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await endSession(fixture.context, agent.session);
  assert.notEqual((await fixture.upload(upload.uploadId)).stalledSince, null);

  const { connection, session } = await fixture.connect('client-1', running(upload));
  assert.deepEqual(connection.sent('welcome')[0]?.uploads, [
    { upload_id: upload.uploadId, attempt: 1, verdict: 'continue' },
  ]);
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'uploading');
  assert.equal(record.epoch, session.epoch);
  assert.equal(record.stalledSince, null);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  await partUploaded(fixture.context, session, partUploadedMessage(upload, [1]));
  assert.equal((await fixture.upload(upload.uploadId)).partsCompleted, 1);
});

test('an upload that the agent was preparing continues', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await endSession(fixture.context, agent.session);
  const { connection, session } = await fixture.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'continue');
  await prepared(fixture.context, session, preparedMessage(upload));
  await fixture.reaches(upload.uploadId, 'uploading');
});

test('an upload that the agent has lost gets a new attempt with the stored parts', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading({ sent: [1, 2] });
  // The stored parts count, not the reported ones.
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  await endSession(fixture.context, agent.session);
  const { connection, session } = await fixture.connect();
  const record = await fixture.reaches(upload.uploadId, 'preparing');
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

  await resumed(fixture.context, session, resumedMessage(record));
  assert.equal((await fixture.upload(upload.uploadId)).status, 'uploading');
  await partsReady(fixture.context, session, partsReadyMessage(record, announce(FILE_BYTES, [3])));
  assert.equal(connection.sent('part_urls').length, 1);
  fixture.bucket.put(upload.s3UploadId, 3);
  const last = completedMessage(record, { parts: uploadedParts([3]), resumed: true });
  await completed(fixture.context, session, last);
  const end = await fixture.reaches(upload.uploadId, 'completed');
  assert.deepEqual([end.partsCompleted, end.bytesUploaded], [3, FILE_BYTES]);
  assert.equal(fixture.bucket.count('createMultipartUpload'), 1);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
});

test('an agent that cannot resume starts over: the old multipart upload is aborted', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1, 2]));
  await endSession(fixture.context, agent.session);
  const { connection } = await fixture.connect('client-1', { capabilities: ['list_directory'] });
  const record = await fixture.reaches(upload.uploadId, 'preparing');
  assert.deepEqual([record.s3UploadId, record.partsCompleted, record.restarts], [null, 0, 1]);
  assert.notEqual(record.objectToken, upload.objectToken);
  assert.deepEqual(await fixture.store.listParts(upload.uploadId), []);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
  assert.equal(fixture.bucket.count('listParts'), 0, 'not listed, because the agent cannot use it');
  const [asked, ...more] = connection.sent('prepare_upload');
  assert.deepEqual([asked?.attempt, asked?.resume, more.length], [record.attempt, undefined, 0]);
});

test('an upload in preparation when its agent died is prepared again', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await endSession(fixture.context, agent.session);
  const { connection } = await fixture.connect();
  const record = await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(record.attempt, 2);
  assert.notEqual(record.objectToken, upload.objectToken, 'its Create may still be in flight');
  assert.equal(connection.sent('prepare_upload')[0]?.resume, undefined);
});

test('an upload that crashes its agent each time lets others go first, until a part is stored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading({ sent: [] });
  let last = agent;
  const restartAgent = async () => {
    await endSession(fixture.context, last.session);
    last = await fixture.connect('client-1', { maxUploads: 1 });
    await fixture.idle();
    return fixture.upload(upload.uploadId);
  };
  assert.equal((await restartAgent()).status, 'preparing', 'the first time immediately');
  const behind = await fixture.trigger('/data/other.bin');
  const waiting = await restartAgent();
  assert.equal(waiting.status, 'queued');
  assert.ok((waiting.nextAttemptAt ?? 0) > fixture.clock.now());
  await fixture.reaches(behind.uploadId, 'preparing');
  await fixture.domain.uploads.cancel(behind.uploadId, 'operator-1');

  fixture.clock.advance(1000);
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  await resumed(fixture.context, last.session, resumedMessage(again));
  await partUploaded(fixture.context, last.session, partUploadedMessage(again, [1]));
  assert.equal((await restartAgent()).status, 'preparing');
});

test('a failed abort does not stop the upload from starting over', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await endSession(fixture.context, agent.session);
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.connect('client-1', { capabilities: [] });
  await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(fixture.bucket.faultsFired, 1);
});

test('an attempt that differs from the server’s is dropped, and its upload continues with the next attempt', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await endSession(fixture.context, agent.session);
  const { connection } = await fixture.connect('client-1', running(upload, 7));
  assert.deepEqual(connection.sent('welcome')[0]?.uploads, [
    { upload_id: upload.uploadId, attempt: 7, verdict: 'drop' },
  ]);
  assert.equal((await fixture.reaches(upload.uploadId, 'preparing')).attempt, 2);
});

test('an ended upload, or one of another client, is dropped', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  const stranger = await fixture.connect('client-2', running(upload));
  assert.equal(stranger.connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  const before = await fixture.upload(upload.uploadId);
  assert.equal(before.status, 'uploading', 'the upload is not affected');

  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  const { connection } = await fixture.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  assert.equal((await fixture.upload(upload.uploadId)).status, 'cancelled');
});

test('a completing upload is dropped by the agent and continues on the server', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  const { connection } = await fixture.connect('client-1', running(upload));
  assert.equal(connection.sent('welcome')[0]?.uploads[0]?.verdict, 'drop');
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  release();
  await fixture.reaches(upload.uploadId, 'completed');
});

test('a newer session closes the older one', async () => {
  await using fixture = await openFixture();
  const first = await fixture.connect();
  const second = await fixture.connect();
  assert.equal(first.connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(second.connection.closes, []);
  assert.equal(fixture.context.sessions.get('client-1'), second.session);
});

/** A fixture in which the result of the next `name` call is held back until it is released. */
async function holding(name: 'openSession' | 'listRunningIds') {
  const real = await openSqliteStore(':memory:');
  const state: { hold: Promise<void> | undefined; reached: () => void } = {
    hold: undefined,
    reached: () => {},
  };
  const held = async <Result>(result: Promise<Result>): Promise<Result> => {
    const { hold, reached } = state;
    state.hold = undefined;
    const outcome = await result;
    if (hold !== undefined) {
      reached();
      await hold;
    }
    return outcome;
  };
  const store = intercepted<Store>(
    real,
    name === 'openSession'
      ? { openSession: (session) => held(real.openSession(session)) }
      : { listRunningIds: (clientId) => held(real.listRunningIds(clientId)) },
  );
  /** @returns `reached` resolves when the call waits; `release` continues it. */
  const hold = (): { reached: Promise<void>; release: () => void } => {
    const waiting = Promise.withResolvers<void>();
    const going = Promise.withResolvers<void>();
    state.hold = going.promise;
    state.reached = waiting.resolve;
    return { reached: waiting.promise, release: going.resolve };
  };
  return { fixture: new DomainFixture(store), hold };
}

test('an older hello that finishes last loses', async () => {
  const { fixture: opened, hold } = await holding('openSession');
  await using fixture = opened;
  const { reached, release } = hold();
  const older = sayHello(fixture.context, 'client-1');
  await reached;
  const newer = await fixture.connect();
  release();
  const { connection, session } = await older;
  assert.equal(session, undefined);
  assert.equal(connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(connection.sent('welcome'), []);
  assert.equal(fixture.context.sessions.get('client-1'), newer.session);
  assert.deepEqual(newer.connection.closes, []);
});

for (const stillRuns of [true, false]) {
  const claim = stillRuns ? 'claims' : 'has lost';
  test(`a slow older hello that ${claim} an upload does not take it from the newer session`, async () => {
    const { fixture: opened, hold } = await holding('listRunningIds');
    await using fixture = opened;
    const { agent, upload } = await fixture.uploading();
    await endSession(fixture.context, agent.session);
    const { reached, release } = hold();
    const older = sayHello(fixture.context, 'client-1', stillRuns ? running(upload) : {});
    await reached;
    const newer = await fixture.connect('client-1', running(upload));
    release();
    await older;
    await fixture.idle();
    const record = await fixture.upload(upload.uploadId);
    assert.equal(record.status, 'uploading');
    assert.equal(record.attempt, 1);
    assert.equal(record.epoch, newer.session.epoch);
    assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  });
}

test('an agent gets only the commands that its hello announces', async () => {
  await using fixture = await openFixture();
  const { connection } = await fixture.connect('client-1', {
    agent_version: '0.0.9',
    capabilities: ['resume'],
  });
  await assert.rejects(fixture.context.commands.run('client-1', 'health_check', {}), {
    code: 'not_supported',
    message: /version 0\.0\.9/,
  });
  assert.deepEqual(connection.sent('health_check'), []);
});

test('an upload triggered during hello is dispatched after welcome', async () => {
  const { fixture: opened, hold } = await holding('listRunningIds');
  await using fixture = opened;
  await endSession(fixture.context, (await fixture.connect()).session);
  const { reached, release } = hold();
  const greeting = fixture.connect();
  await reached;
  const { uploadId } = await fixture.trigger();
  await fixture.idle();
  await assert.rejects(fixture.context.commands.run('client-1', 'health_check', {}), {
    code: 'client_offline',
  });
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
  release();
  const { connection } = await greeting;
  const upload = await fixture.reaches(uploadId, 'preparing');
  assert.equal(upload.attempt, 1);
  await fixture.until(() => connection.frames.length === 2, 'two frames');
  assert.deepEqual(
    connection.frames.map(({ action }) => action),
    ['welcome', 'prepare_upload'],
  );
});

test('a hello that fails in the database leaves no session and no upload bound to one', async () => {
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
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.uploading();
  const second = await fixture.trigger();
  await fixture.reaches(second.uploadId, 'preparing');
  await endSession(fixture.context, agent.session);
  broken.uploadId = second.uploadId;
  await assert.rejects(sayHello(fixture.context, 'client-1', running(upload)), StoreError);
  assert.equal(broken.uploadId, '', 'the fault fired');
  assert.equal(fixture.context.sessions.newest('client-1'), undefined);
  assert.equal((await fixture.store.getClient('client-1'))?.connectedSince, null);
  const adopted = await fixture.upload(upload.uploadId);
  assert.equal(adopted.status, 'uploading');
  assert.notEqual(adopted.stalledSince, null);
});

test('the end of a session marks its uploads as stalled and the client as disconnected', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.clock.advance(1000);
  await endSession(fixture.context, agent.session);
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'uploading', 'the transfer itself needs no socket');
  assert.equal(record.stalledSince, fixture.clock.now());
  const client = await fixture.store.getClient('client-1');
  assert.equal(client?.connectedSince, null);
  assert.equal(client.lastSeenAt, fixture.clock.now());
  assert.equal(fixture.context.sessions.get('client-1'), undefined);
});

test('the end of a replaced session leaves its successor’s uploads alone', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const next = await fixture.connect('client-1', { running: [{ upload_id: upload.uploadId, attempt: 1 }] });
  await endSession(fixture.context, agent.session);
  assert.equal((await fixture.upload(upload.uploadId)).stalledSince, null);
  assert.notEqual((await fixture.store.getClient('client-1'))?.connectedSince, null);
  assert.equal(fixture.context.sessions.get('client-1'), next.session);
});

test('an upload adopted by a newer session on another node is not stalled by the end of the older one', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  // On another node: this one's registry does not know it.
  await fixture.context.ledger.apply(upload, { type: 'adopt', epoch: agent.session.epoch + 1 });
  await endSession(fixture.context, agent.session);
  assert.equal((await fixture.upload(upload.uploadId)).stalledSince, null);
});

test('an upload whose parts are all sent no longer needs its agent', async () => {
  const real = await openSqliteStore(':memory:');
  let listed = 0;
  // As if it was still running when they were listed.
  const store = intercepted<Store>(real, {
    listRunningIds: async () => {
      listed += 1;
      return (await real.listActiveUploads('client-1', { limit: 100 })).map(({ uploadId }) => uploadId);
    },
  });
  await using fixture = new DomainFixture(store);
  fixture.bucket.hold('completeMultipartUpload');
  const { agent, upload } = await fixture.completing();
  const before = await fixture.upload(upload.uploadId);
  const { length } = fixture.changes;
  listed = 0;
  await endSession(fixture.context, agent.session);
  assert.equal(listed, 1);
  assert.equal(fixture.changes.length, length);
  assert.deepEqual(await fixture.upload(upload.uploadId), before);
});

test('the end of a session that the database rejected can be repeated', async () => {
  const real = await openSqliteStore(':memory:');
  let isAway = false;
  let refusals = 0;
  const unlessAway = <Result>(go: () => Promise<Result>): Promise<Result> => {
    if (!isAway) return go();
    refusals += 1;
    throw new StoreError('the database is locked');
  };
  const store = intercepted<Store>(real, {
    closeSession: async (...session) => unlessAway(() => real.closeSession(...session)),
    saveUpload: async (...saving) => unlessAway(() => real.saveUpload(...saving)),
  });
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.uploading();
  isAway = true;
  await assert.rejects(endSession(fixture.context, agent.session), StoreError);
  assert.equal(refusals, 1);
  isAway = false;
  await endSession(fixture.context, agent.session);
  assert.notEqual((await fixture.upload(upload.uploadId)).stalledSince, null);
  assert.equal((await fixture.store.getClient('client-1'))?.connectedSince, null);
});

test('an upload being dispatched when its session ends is requeued', async () => {
  const real = await openSqliteStore(':memory:');
  const saving = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (upload.status === 'preparing') {
        saving.resolve();
        await go.promise;
      }
      return real.saveUpload(upload, save);
    },
  });
  await using fixture = new DomainFixture(store);
  const agent = await fixture.connect();
  const { uploadId } = await fixture.trigger();
  await saving.promise;
  const ending = endSession(fixture.context, agent.session);
  await fixture.idle();
  go.resolve();
  await ending;
  await fixture.reaches(uploadId, 'queued');
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('commands that wait for the agent fail with the session', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  const asked = fixture.context.commands.run('client-1', 'health_check', {});
  const failed = assert.rejects(asked, { code: 'client_offline' });
  await endSession(fixture.context, agent.session);
  await failed;
});

test('an upload whose row is being written during a newer hello goes to the newer session', async () => {
  const real = await openSqliteStore(':memory:');
  const saving = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (upload.status === 'preparing' && upload.attempt === 1) {
        saving.resolve();
        await go.promise;
      }
      return real.saveUpload(upload, save);
    },
  });
  await using fixture = new DomainFixture(store);
  const older = await fixture.connect();
  const { uploadId } = await fixture.trigger();
  await saving.promise;
  const hello = sayHello(fixture.context, 'client-1');
  // Enough time for the hello to have checked the running uploads.
  await fixture.idle();
  go.resolve();
  const { connection, session } = await hello;
  assert.ok(session !== undefined);
  await fixture.until(
    async () => (await fixture.upload(uploadId)).epoch === session.epoch,
    'the newer epoch',
  );
  await fixture.until(() => connection.sent('prepare_upload').length === 1, 'prepare_upload');
  assert.deepEqual(older.connection.sent('prepare_upload'), []);
});
