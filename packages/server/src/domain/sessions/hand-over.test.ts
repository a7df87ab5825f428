import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { sayHello } from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import type { Store } from '../ports/store.ts';

test('an upload whose row is being written as a newer session says hello goes to the newer one', async () => {
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
  await using bench = new DomainBench(store);
  const older = await bench.connect();
  const { uploadId } = await bench.trigger();
  await saving.promise;
  const hello = sayHello(bench.context, 'client-1');
  // Time enough for the hello to have looked at what runs.
  await bench.settle();
  go.resolve();
  const { connection, session } = await hello;
  assert.ok(session !== undefined);
  await bench.until(async () => (await bench.upload(uploadId)).epoch === session.epoch, 'the newer epoch');
  await bench.until(() => connection.sent('prepare_upload').length === 1, 'prepare_upload');
  assert.deepEqual(older.connection.sent('prepare_upload'), []);
});
