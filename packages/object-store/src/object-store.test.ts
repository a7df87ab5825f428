import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { DataDirectoryInUse, OPERATIONS, S3Error, startObjectStore } from './index.ts';
import { patternBytes, startStore } from '../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';
import { ACCESS_KEY, SECRET_KEY } from '../../../test/harness/object-store/test-client.ts';

test('a process can open a data directory only once, and again after closing it', async () => {
  await using directory = await temporaryDirectory();
  const options = { port: 0, dataDir: directory.path, accessKey: ACCESS_KEY, secretKey: SECRET_KEY };
  const first = await startObjectStore(options);
  await assert.rejects(startObjectStore(options), DataDirectoryInUse);
  await Promise.all([first.close(), first.close()]);
  const second = await startObjectStore(options);
  await second.close();
});

test('a port in use is an error, and the data directory is released', async () => {
  await using running = await startStore();
  await using directory = await temporaryDirectory();
  const options = { dataDir: directory.path, accessKey: ACCESS_KEY, secretKey: SECRET_KEY };
  await assert.rejects(startObjectStore({ ...options, port: running.store.port }), { code: 'EADDRINUSE' });
  await using _second = await startObjectStore({ ...options, port: 0 });
});

test('an operation can be wrapped to fail before or after it is performed', async () => {
  let calls = 0;
  await using running = await startStore({
    operations: {
      ...OPERATIONS,
      PutObject: async (request, context) => {
        const response = await OPERATIONS.PutObject(request, context);
        if (calls++ === 0) throw new S3Error('InternalError');
        return response;
      },
    },
  });
  const { client } = running;
  assert.equal((await client.call('PUT', '/box/key', { body: 'x' })).status, 500);
  assert.equal((await client.call('GET', '/box/key')).text, 'x');
  assert.equal((await client.call('PUT', '/box/key', { body: 'y' })).status, 200);
});

test('an internal error returns 500 without details, and is reported', async () => {
  const faults: unknown[] = [];
  await using running = await startStore({
    onFault: (error) => faults.push(error),
    operations: { ...OPERATIONS, GetObject: () => Promise.reject(new Error('/secret/path')) },
  });
  const { status, text } = await running.client.call('GET', '/box/key');
  assert.equal(status, 500);
  assert.doesNotMatch(text, /secret/);
  assert.equal(faults.length, 1);
});

test('a log that cannot be written does not stop the store, and is reported once', async () => {
  const warnings: string[] = [];
  const listen = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', listen);
  try {
    await using running = await startStore({ accessLog: '/dev/full' });
    for (const key of ['a', 'b']) {
      assert.equal((await running.client.call('PUT', `/box/${key}`, { body: 'x' })).status, 200);
    }
  } finally {
    process.off('warning', listen);
  }
  assert.deepEqual(
    warnings.map((text) => /^The access log \/dev\/full .*ENOSPC/.test(text)),
    [true],
  );
});

test('memory use does not grow with the size of the object', async () => {
  await using running = await startStore();
  const { client } = running;
  const piece = patternBytes(256 * 1024, 'piece');
  const pieces = 480;
  let highestBytes = 0;
  const watch = (): void => void (highestBytes = Math.max(highestBytes, process.memoryUsage().arrayBuffers));
  const { target, headers } = client.signed('PUT', '/box/long', { payloadHash: 'UNSIGNED-PAYLOAD' });
  const beforeBytes = process.memoryUsage().arrayBuffers;
  const outgoing = request({
    host: client.url.hostname,
    port: client.url.port,
    method: 'PUT',
    path: target,
    headers: { ...headers, 'content-length': String(piece.length * pieces) },
  });
  const responded = once(outgoing, 'response') as Promise<[IncomingMessage]>;
  async function* body() {
    for (let sent = 0; sent < pieces; sent++) {
      watch();
      yield piece;
    }
    await Promise.resolve();
  }
  await pipeline(body, outgoing);
  const [incoming] = await responded;
  incoming.resume();
  assert.equal(incoming.statusCode, 200);
  // 120 MiB were transferred; memory that is not yet collected also counts.
  assert.ok(
    highestBytes - beforeBytes < 64 * 1024 * 1024,
    `${highestBytes - beforeBytes} bytes more were used`,
  );
});
