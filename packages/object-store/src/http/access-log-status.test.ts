import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { S3Error } from '../errors.ts';
import type { Operation } from '../operations/operation.ts';
import { OPERATIONS } from '../operations.ts';
import { startStore } from '../../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';

/** Returns the logged status of a response whose client has disconnected. */
async function statusLoggedFor(operation: Operation): Promise<unknown> {
  await using directory = await temporaryDirectory();
  const accessLog = join(directory.path, 'access.log');
  const [started, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const DeleteObject: Operation = async (...given) => {
    started.resolve();
    await left.promise;
    return operation(...given);
  };
  await using running = await startStore({ operations: { ...OPERATIONS, DeleteObject }, accessLog });
  const { client, store } = running;
  const { target, headers } = client.signed('DELETE', '/box/file');
  const socket = connect(store.port, '127.0.0.1');
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`DELETE ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  await started.promise;
  socket.resetAndDestroy();
  await once(socket, 'close');
  // Once this request has a response, the store has seen that the other client disconnected.
  await client.call('HEAD', '/box');
  left.resolve();
  await store.close();
  const entries = (await readFile(accessLog, 'utf8')).trim().split('\n');
  return entries
    .map((line) => JSON.parse(line) as { operation: string; status: unknown })
    .find(({ operation }) => operation === 'DeleteObject')?.status;
}

test('a request that succeeded after its client disconnected is logged with its status', async () => {
  assert.equal(await statusLoggedFor(() => Promise.resolve({ status: 204 })), 204);
});

test('a request that failed after its client disconnected is logged with its status', async () => {
  const refuse = () => Promise.reject(new S3Error('NoSuchKey'));
  assert.equal(await statusLoggedFor(refuse), 404);
});
