import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { ClientRequest } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import test from 'node:test';
import { TLSSocket } from 'node:tls';
import { noProxies } from '@backhaul/program';
import { type OpenedFile } from '../file/open-file.ts';
import { BufferPool } from '../file/slices.ts';
import { StoragePolicy } from '../policy/storage-policy.ts';
import { PartParallelism } from './part-parallelism.ts';
import { PartsInFlight } from './progress.ts';
import { PutExchange } from './put-exchange.ts';
import { putPart } from './put-part.ts';
import { ResponseTimeout } from './put-timeouts.ts';
import { RateLimit } from './rate-limit.ts';
import { partBody } from './send-part.ts';
import { StorageClient } from './storage-client.ts';

test('no request starts before its body has a buffer, and the wait can be aborted', async () => {
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
  const deps = untoldLine();
  const slot = deps.parallelism.admit(1) ?? assert.fail('it has to wait');
  const put = putPart(
    { url: new URL('https://store.example'), headers: {}, length: 1, body, slot, fresh: false },
    {
      storage,
      rateLimit: null,
      timings: { connectMs: 1, stallMs: 1 },
      responseTimeout: new ResponseTimeout({ firstMs: 1, maxMs: 1 }),
      ...deps,
      inFlight: new PartsInFlight(),
    },
    { signal },
  );
  setImmediate(() => stop.abort(new Error('stopped')));
  await assert.rejects(put, /stopped/);
  assert.equal(requests, 0);
  buffers.give(held);
  assert.equal(buffers.lent, 0);
});

test(
  'an abort closes the connection immediately, even while the disk hangs',
  { timeout: 10_000 },
  async () => {
    await using server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    using storage = new StorageClient(new StoragePolicy({ origins: [], serverIsLocal: true }), noProxies);
    const stop = new AbortController();
    const disk = Promise.withResolvers<void>();
    async function* body(): AsyncGenerator<Buffer, void, void> {
      yield Buffer.alloc(1);
      await disk.promise;
    }
    const deps = untoldLine();
    const slot = deps.parallelism.admit(1) ?? assert.fail('it has to wait');
    const put = putPart(
      {
        ...{ url: new URL(`http://127.0.0.1:${port}`), headers: {}, length: 2, fresh: false },

        ...{ body: body(), slot },
      },
      {
        ...{ storage, rateLimit: null, timings: { connectMs: 10_000, stallMs: 10_000 } },
        responseTimeout: new ResponseTimeout({ firstMs: 10_000, maxMs: 10_000 }),
        ...deps,
        inFlight: new PartsInFlight(),
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
  },
);

for (const { name, limit } of [
  { name: 'without a rate limit', limit: null },
  { name: 'with one that is off for now', limit: new RateLimit(() => null, { now: () => 0 }) },
]) {
  test(`over TLS, ${name}, writes stay small, because bytes inside OpenSSL are not counted`, async () => {
    const pieces: number[] = [];
    const request = Object.assign(new EventEmitter(), {
      write: (piece: Buffer, written: () => void) => {
        pieces.push(piece.length);
        written();
      },
      end: () => undefined,
      destroy: () => undefined,
    });
    const { signal } = new AbortController();
    const exchange = new PutExchange(request as unknown as ClientRequest, {
      ...{ connectMs: 10_000, deadlineMs: 10_000, signal },
    });
    request.emit('socket', new TLSSocket(new Duplex()));
    async function* slices(): AsyncGenerator<Buffer, void, void> {
      yield Buffer.alloc(1024 * 1024);
    }
    const rest = slices();
    await exchange.sendBody({ first: await rest.next(), rest }, limit);
    exchange.close();
    assert.ok(Math.max(...pieces) <= 128 * 1024, pieces.join(' '));
  });
}

function untoldLine() {
  const now = () => performance.now();
  return {
    ...{ parallelism: new PartParallelism({ ceiling: 4, now }), now },
    sendQueues: () => Promise.resolve(null),
  };
}
