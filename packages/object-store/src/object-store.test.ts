import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataDirectoryInUse, OPERATIONS, S3Error, startObjectStore } from './index.ts';
import { patternBytes, startStore, temporaryDirectory } from './testing/store-fixture.ts';
import { ACCESS_KEY, SECRET_KEY } from './testing/test-client.ts';

test('one process too may open a data directory only once, and again after closing it', async () => {
  await using directory = await temporaryDirectory();
  const options = { port: 0, dataDir: directory.path, accessKey: ACCESS_KEY, secretKey: SECRET_KEY };
  const first = await startObjectStore(options);
  await assert.rejects(startObjectStore(options), DataDirectoryInUse);
  await Promise.all([first.close(), first.close()]);
  const second = await startObjectStore(options);
  await second.close();
});

test('a port in use is told, and gives the data directory free', async () => {
  await using running = await startStore();
  await using directory = await temporaryDirectory();
  const options = { dataDir: directory.path, accessKey: ACCESS_KEY, secretKey: SECRET_KEY };
  await assert.rejects(startObjectStore({ ...options, port: running.store.port }), { code: 'EADDRINUSE' });
  await using _second = await startObjectStore({ ...options, port: 0 });
});

test('an operation can be wrapped, to fail on purpose before or after it happened', async () => {
  let calls = 0;
  await using running = await startStore({
    operations: {
      ...OPERATIONS,
      PutObject: async (request, context) => {
        const answer = await OPERATIONS.PutObject(request, context);
        if (calls++ === 0) throw new S3Error('InternalError');
        return answer;
      },
    },
  });
  const { client } = running;
  assert.equal((await client.call('PUT', '/box/key', { body: 'x' })).status, 500);
  assert.equal((await client.call('GET', '/box/key')).text, 'x');
  assert.equal((await client.call('PUT', '/box/key', { body: 'y' })).status, 200);
});

test('a fault of the store itself is answered 500 without details, and reported', async () => {
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

test('memory does not grow with the object', async () => {
  await using running = await startStore();
  const { client } = running;
  const body = patternBytes(5 * 1024 * 1024, 'part');
  const uploadId = await client.createUpload('/box/long');
  const parts: Array<{ PartNumber: number; ETag: string }> = [];
  let highestBytes = 0;
  const watch = setInterval(
    () => (highestBytes = Math.max(highestBytes, process.memoryUsage().arrayBuffers)),
    2,
  );
  const before = process.memoryUsage().arrayBuffers;
  for (let number = 1; number <= 30; number++) {
    const { headers } = await client.uploadPart('/box/long', { uploadId, number, body });
    parts.push({ PartNumber: number, ETag: headers.etag ?? '' });
  }
  clearInterval(watch);
  assert.equal((await client.completeUpload('/box/long', uploadId, { parts })).status, 200);
  // 150 MiB went through; a few batches and socket buffers may be held at once.
  assert.ok(highestBytes - before < 64 * 1024 * 1024, `${highestBytes - before} bytes more were held`);
});
