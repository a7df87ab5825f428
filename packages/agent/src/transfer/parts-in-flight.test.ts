import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { currentPlatform } from '../platform/current-platform.ts';
import { queueKey } from '../platform/platform.ts';
import { PartsInFlight } from './parts-in-flight.ts';

function flight(localPort: number) {
  return { bytesTaken: 0, socket: { localPort, remotePort: 443 } };
}

test('bytes in the send queue of the same connection do not count', () => {
  const parts = new PartsInFlight();
  const first = flight(40_000);
  const second = flight(40_001);
  using _first = parts.add(first);
  using _second = parts.add(second);
  first.bytesTaken = 5000;
  second.bytesTaken = 700;
  const queues = new Map([[queueKey(40_000, 443), 4000]]);
  assert.equal(parts.acknowledged(parts.taken(), queues), 1000 + 700);
});

test('bytes written after the queues were read do not count', () => {
  const parts = new PartsInFlight();
  const one = flight(40_000);
  using _ = parts.add(one);
  one.bytesTaken = 1000;
  const taken = parts.taken();
  one.bytesTaken = 9000;
  assert.equal(parts.acknowledged(taken, new Map()), 1000);
});

test('the acknowledged bytes of a running PUT never decrease, and are removed when it fails', () => {
  const parts = new PartsInFlight();
  const one = flight(40_000);
  {
    using _ = parts.add(one);
    one.bytesTaken = 6000;
    assert.equal(parts.acknowledged(parts.taken(), new Map()), 6000);
    assert.equal(parts.acknowledged(parts.taken(), new Map([[queueKey(40_000, 443), 3000]])), 6000);
  }
  assert.equal(parts.acknowledged(parts.taken(), new Map()), 0);
});

const skip = process.platform === 'linux' ? false : 'send queues are available only on Linux';

test('Linux reports what the peer has not acknowledged', { skip, timeout: 20_000 }, async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const [[accepted], socket] = await Promise.all([
    once(server, 'connection') as Promise<[Socket]>,
    Promise.resolve(connect(port, '127.0.0.1')),
  ]);
  try {
    const size = 16 * 1024 * 1024;
    // More than both kernels buffer, so that some bytes stay in the queue.
    socket.write(Buffer.alloc(size));
    const key = queueKey(socket.localPort ?? 0, port);
    let queued = 0;
    while (queued === 0) queued = (await currentPlatform().sendQueues())?.get(key) ?? 0;
    assert.ok(queued < size, `${queued} of ${size}`);
  } finally {
    socket.destroy();
    accepted.destroy();
    server.close();
  }
});
