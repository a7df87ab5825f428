import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import { sayHello } from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';

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
