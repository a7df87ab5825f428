import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { OPERATIONS } from '../operations.ts';
import { startStore, type StoreFixture } from '../../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';

/** More than the socket buffers on both sides of a connection hold. */
const TEXT_BYTES = 32 * 1024 * 1024;

const LONG_ANSWER = {
  ...OPERATIONS,
  ListBuckets: () =>
    Promise.resolve({ status: 200, body: { root: 'Long', content: 'x'.repeat(TEXT_BYTES) } }),
};

/** Requests the long response, and reads only its first bytes. */
async function askAndStop({ client, store }: StoreFixture): Promise<Socket> {
  const { target, headers } = client.signed('GET', '/');
  const socket = connect(store.port, '127.0.0.1');
  socket.on('error', () => undefined);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  await once(socket, 'readable');
  return socket;
}

async function readToEnd(socket: Socket): Promise<number> {
  let received = 0;
  socket.on('data', (chunk: Buffer) => (received += chunk.length));
  await once(socket, 'close');
  return received;
}

/** Returns the log once it is not empty. */
async function written(path: string, signal: AbortSignal): Promise<string> {
  for (;;) {
    const log = await readFile(path, 'utf8');
    if (log !== '') return log;
    await delay(20, undefined, { signal });
  }
}

test(
  'a client that does not read a text response is disconnected',
  { timeout: 10_000 },
  async ({ signal }) => {
    await using directory = await temporaryDirectory();
    const accessLog = join(directory.path, 'access.log');
    await using running = await startStore({ operations: LONG_ANSWER, stallTimeoutMs: 200, accessLog });
    const socket = await askAndStop(running);
    assert.match(await written(accessLog, signal), /"operation":"ListBuckets"/);
    assert.ok((await readToEnd(socket)) < TEXT_BYTES);
  },
);

test('a stop waits for responses that clients are still reading', { timeout: 10_000 }, async () => {
  await using running = await startStore({ operations: LONG_ANSWER });
  const { client, store } = running;
  const socket = await askAndStop(running);
  // Another exchange that ends must not cut it either.
  const closing = client.call('HEAD', '/box').then(() => store.close());
  assert.ok((await readToEnd(socket)) > TEXT_BYTES);
  await closing;
});
