import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from './end-session.ts';

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

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
