import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import test from 'node:test';
import { BufferPool } from '../file/buffer-pool.ts';
import { type OpenedFile } from '../file/open-file.ts';
import { partBody } from '../file/part-body.ts';
import { StoragePolicy } from '../policy/storage-policy.ts';
import { AnswerPatience } from './answer-patience.ts';
import { putPart } from './put-part.ts';
import { StorageClient } from './storage-client.ts';

test('no request begins before its body has memory, and the wait for it can be aborted', async () => {
  const buffers = new BufferPool(1);
  const stop = new AbortController();
  const { signal } = stop;
  const held = await buffers.take({ signal });
  let requests = 0;
  const storage = {
    put: () => {
      requests += 1;
      throw new Error('requested');
    },
  } as unknown as StorageClient;
  const body = partBody({} as OpenedFile, { offset: 0, length: 1 }, { expectedCrc32: '', buffers, signal });
  const put = putPart(
    { url: new URL('https://store.example'), headers: {}, length: 1, body, fresh: false },
    {
      storage,
      rateLimit: null,
      timings: { connectMs: 1, stallMs: 1 },
      patience: new AnswerPatience({ firstMs: 1, maxMs: 1 }),
    },
    { signal },
  );
  setImmediate(() => stop.abort(new Error('stopped')));
  await assert.rejects(put, /stopped/);
  assert.equal(requests, 0);
  buffers.give(held);
  assert.equal(buffers.lent, 0);
});

test('an abort cuts the connection at once, even while the disk hangs', { timeout: 10_000 }, async () => {
  await using server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  using storage = new StorageClient(new StoragePolicy({ origins: [], serverIsLocal: true }), null);
  const stop = new AbortController();
  const disk = Promise.withResolvers<void>();
  async function* body(): AsyncGenerator<Buffer, void, void> {
    yield Buffer.alloc(1);
    await disk.promise;
  }
  const put = putPart(
    {
      ...{ url: new URL(`http://127.0.0.1:${port}`), headers: {}, length: 2, fresh: false },
      body: body(),
    },
    {
      ...{ storage, rateLimit: null, timings: { connectMs: 10_000, stallMs: 10_000 } },
      patience: new AnswerPatience({ firstMs: 10_000, maxMs: 10_000 }),
    },
    { signal: stop.signal },
  );
  const [socket] = (await once(server, 'connection')) as [Socket];
  socket.on('error', () => undefined);
  await once(socket, 'data');
  stop.abort(new Error('stopped'));
  await once(socket, 'close');
  disk.resolve();
  await assert.rejects(put, /stopped/);
});
