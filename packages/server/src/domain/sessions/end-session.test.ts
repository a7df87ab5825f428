import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from './end-session.ts';

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

test('the end of a session marks its uploads as stalled, and the client as away', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.clock.advance(1000);
  await endSession(bench.context, agent.session);
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'uploading', 'the transfer itself needs no socket');
  assert.equal(record.stalledSince, bench.clock.now());
  const client = await bench.store.getClient('client-1');
  assert.equal(client?.connectedSince, null);
  assert.equal(client.lastSeenAt, bench.clock.now());
  assert.equal(bench.context.sessions.get('client-1'), undefined);
});

test('the end of a replaced session leaves its successor’s uploads alone', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const next = await bench.connect('client-1', { running: [{ upload_id: upload.uploadId, attempt: 1 }] });
  await endSession(bench.context, agent.session);
  assert.equal((await bench.upload(upload.uploadId)).stalledSince, null);
  assert.notEqual((await bench.store.getClient('client-1'))?.connectedSince, null);
  assert.equal(bench.context.sessions.get('client-1'), next.session);
});

test('an upload that a newer session elsewhere has adopted is not stalled by the end of the older one', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  // On another node: this one's registry does not know of it.
  await bench.context.ledger.apply(upload, { type: 'adopt', epoch: agent.session.epoch + 1 });
  await endSession(bench.context, agent.session);
  assert.equal((await bench.upload(upload.uploadId)).stalledSince, null);
});

test('an upload whose parts are all sent needs its agent no more', async () => {
  const real = await openSqliteStore(':memory:');
  let listed = 0;
  // As if it was still running when they were listed.
  const store = intercepted<Store>(real, {
    listRunningIds: async () => {
      listed += 1;
      return (await real.listActiveUploads('client-1', { limit: 100 })).map(({ uploadId }) => uploadId);
    },
  });
  await using bench = new DomainBench(store);
  bench.bucket.hold('completeMultipartUpload');
  const { agent, upload } = await bench.completing();
  const before = await bench.upload(upload.uploadId);
  const { length } = bench.changes;
  listed = 0;
  await endSession(bench.context, agent.session);
  assert.equal(listed, 1);
  assert.equal(bench.changes.length, length);
  assert.deepEqual(await bench.upload(upload.uploadId), before);
});

test('the end of a session that the database did not take can be repeated', async () => {
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
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.uploading();
  isAway = true;
  await assert.rejects(endSession(bench.context, agent.session), StoreError);
  assert.equal(refusals, 1);
  isAway = false;
  await endSession(bench.context, agent.session);
  assert.notEqual((await bench.upload(upload.uploadId)).stalledSince, null);
  assert.equal((await bench.store.getClient('client-1'))?.connectedSince, null);
});

test('an upload that was being handed over as its session ended goes back to the queue', async () => {
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
  await using bench = new DomainBench(store);
  const agent = await bench.connect();
  const { uploadId } = await bench.trigger();
  await saving.promise;
  const ending = endSession(bench.context, agent.session);
  await bench.settle();
  go.resolve();
  await ending;
  await bench.reaches(uploadId, 'queued');
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('commands that wait for the agent fail with the session', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  const asked = bench.context.commands.run('client-1', 'health_check', {});
  const failed = assert.rejects(asked, { code: 'client_offline' });
  await endSession(bench.context, agent.session);
  await failed;
});
