import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { sayHello } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from './handlers/hello.ts';

/** A fixture that counts the database lookups of clients. */
async function openFixture(): Promise<{ fixture: DomainFixture; lookups: () => number }> {
  const real = await openSqliteStore(':memory:');
  let lookups = 0;
  const store = intercepted<Store>(real, {
    getClient: (clientId) => {
      lookups += 1;
      return real.getClient(clientId);
    },
  });
  return { fixture: new DomainFixture(store), lookups: () => lookups };
}

test('a connected client is known without a database lookup', async () => {
  const { fixture, lookups } = await openFixture();
  await using _ = fixture;
  await fixture.connect();
  const before = lookups();
  await fixture.domain.clients.mustBeKnown('client-1');
  assert.equal(lookups(), before);
});

test('a disconnected client is known, one that never connected is not', async () => {
  const { fixture } = await openFixture();
  await using _ = fixture;
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  await fixture.domain.clients.mustBeKnown('client-1');
  await assert.rejects(fixture.domain.clients.mustBeKnown('client-2'), { code: 'client_not_found' });
});

test('a removed client is unknown immediately, while its socket is still closing', async () => {
  const { fixture } = await openFixture();
  await using _ = fixture;
  const agent = await fixture.connect();
  await fixture.domain.clients.forget('client-1', 'operator-1');
  assert.equal(agent.connection.closes[0]?.code, closeCodes.clientForgotten);
  await assert.rejects(fixture.domain.clients.mustBeKnown('client-1'), { code: 'client_not_found' });
  await assert.rejects(fixture.context.commands.run('client-1', 'health_check', {}), {
    code: 'client_offline',
  });
});

test('a client removed during its hello is unknown too', async () => {
  const real = await openSqliteStore(':memory:');
  const lookupStarted = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const store = intercepted<Store>(real, {
    listRunningIds: async (clientId) => {
      lookupStarted.resolve();
      await go.promise;
      return real.listRunningIds(clientId);
    },
  });
  await using fixture = new DomainFixture(store);
  const hello = sayHello(fixture.context, 'client-1');
  await lookupStarted.promise;
  await fixture.domain.clients.forget('client-1', 'operator-1');
  go.resolve();
  const { connection } = await hello;
  assert.equal(connection.closes[0]?.code, closeCodes.clientForgotten);
  await assert.rejects(fixture.domain.clients.mustBeKnown('client-1'), { code: 'client_not_found' });
});

test('the status of a client with a long queue lists a hundred uploads, running ones first, and counts all', async () => {
  const { fixture } = await openFixture();
  await using _ = fixture;
  const { upload } = await fixture.uploading();
  for (let count = 0; count < 120; count += 1) {
    await fixture.domain.uploads.trigger({
      clientId: 'client-1',
      filePath: `/data/${count}.bin`,
      requestedBy: 'operator-1',
    });
  }
  const status = await fixture.domain.clients.status('client-1');
  assert.equal(status.activeUploads.length, 100);
  assert.ok(status.activeUploads.some(({ uploadId }) => uploadId === upload.uploadId));
  assert.equal(status.activeCount, 121);
});
