import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { sayHello } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from './handlers/hello.ts';

const blocked = { by: 'operator-1', reason: 'stolen' };

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

test('a block closes the connection, stalls running uploads with the reason, and keeps the queue', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const { clients } = fixture.domain;
  await clients.block('client-1', blocked);
  assert.equal(agent.connection.closes[0]?.code, closeCodes.clientBlocked);
  assert.equal(fixture.context.sessions.get('client-1'), undefined);
  await endSession(fixture.context, agent.session);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.stalledReason],
    ['uploading', 'The client is blocked by an operator.'],
  );

  await assert.rejects(clients.mustNotBeBlocked('client-1'), {
    code: 'forbidden',
    reason: 'blocked',
    message: /^Client client-1 was blocked by an operator on [\d:.TZ-]+\.$/,
  });
  await assert.rejects(fixture.trigger(), {
    code: 'client_blocked',
    message: /by operator-1: stolen\. .*backhaul unblock client-1/,
  });
  const { client } = await clients.status('client-1');
  assert.deepEqual(client.block, {
    blockedAt: fixture.clock.now(),
    blockedBy: 'operator-1',
    reason: 'stolen',
  });
});

test('after an unblock the agent resumes its uploads', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const queued = await fixture.trigger('/data/other.bin');
  await fixture.domain.clients.block('client-1', blocked);
  await endSession(fixture.context, agent.session);
  await fixture.domain.clients.unblock('client-1', 'operator-1');
  await fixture.domain.clients.mustNotBeBlocked('client-1');
  const running = [
    { upload_id: upload.uploadId, attempt: 1 },
    { upload_id: queued.uploadId, attempt: 1 },
  ];
  const next = await fixture.connect('client-1', { running });
  assert.equal(next.connection.sent('welcome')[0]?.uploads[0]?.verdict, 'continue');
  assert.equal((await fixture.upload(upload.uploadId)).stalledSince, null);
  await fixture.trigger('/data/third.bin');
});

test('an ended upload cannot be retried for a blocked client, and a completing one completes', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.completing();
  await fixture.domain.clients.block('client-1', blocked);
  await endSession(fixture.context, agent.session);
  assert.equal((await fixture.reaches(upload.uploadId, 'completed')).error, null);

  await fixture.domain.clients.unblock('client-1', 'operator-1');
  const other = await fixture.trigger();
  await fixture.domain.uploads.cancel(other.uploadId, 'operator-1');
  await fixture.domain.clients.block('client-1', blocked);
  await assert.rejects(fixture.domain.uploads.retry(other.uploadId, 'operator-1'), {
    code: 'client_blocked',
  });
});

test('a client blocked between its upgrade and its hello gets no session', async () => {
  const real = await openSqliteStore(':memory:');
  let hold = false;
  const opened = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const store = intercepted<Store>(real, {
    openSession: async (session) => {
      const result = await real.openSession(session);
      opened.resolve();
      if (hold) await go.promise;
      return result;
    },
  });
  await using fixture = new DomainFixture(store);
  hold = true;
  const greeting = sayHello(fixture.context, 'client-1');
  await opened.promise;
  await fixture.domain.clients.block('client-1', blocked);
  go.resolve();
  const { connection, session } = await greeting;
  assert.equal(session, undefined);
  assert.equal(connection.closes[0]?.code, closeCodes.clientBlocked);
  assert.deepEqual(connection.sent('welcome'), []);
  assert.equal(fixture.context.sessions.newest('client-1'), undefined);
  assert.equal((await fixture.store.getClient('client-1'))?.connectedSince, null);
});

test('a client that has never connected can be blocked, and a removed one stays blocked', async () => {
  await using fixture = await openFixture();
  await fixture.domain.clients.block('client-7', { by: 'operator-1', reason: null });
  await assert.rejects(fixture.domain.clients.mustNotBeBlocked('client-7'), { reason: 'blocked' });
  const agent = await fixture.connect();
  await fixture.domain.clients.block('client-1', blocked);
  await endSession(fixture.context, agent.session);
  await fixture.domain.clients.forget('client-1', 'operator-1');
  await assert.rejects(fixture.domain.clients.mustNotBeBlocked('client-1'), { reason: 'blocked' });
});
