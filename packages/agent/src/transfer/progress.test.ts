import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { mock, test } from 'node:test';
import { type AgentMessageInput, planParts } from '@backhaul/protocol';
import { currentPlatform } from '../platform/current-platform.ts';
import { queueKey } from '../platform/platform.ts';
import { PartLedger } from './part-ledger.ts';
import { PartsInFlight, Progress } from './progress.ts';

function setUp(partCount: number) {
  const chunk = 5 * 1024 * 1024;
  const plan = planParts(partCount * chunk, { minChunkSize: chunk, maxParts: 10_000 });
  const ledger = new PartLedger({ plan, now: () => 0, ask: () => true });
  const sent: AgentMessageInput[] = [];
  const link = {
    connected: true,
    congested: false,
    send: (message: AgentMessageInput) => {
      sent.push(message);
      return link.connected;
    },
  };
  const progress = new Progress({
    ledger,
    link,
    reportMs: 250,
    message: (parts) => ({ status: 'part_uploaded', upload_id: 'id', attempt: 1, parts }),
  });
  const url = { url: new URL('http://localhost'), headers: {}, staleAt: 1 };
  const upload = async (etag = '"e"') => {
    ledger.announce({ crc32: 'AAAAAA==' });
    ledger.setUrl(sentParts + 1, url);
    sentParts += 1;
    const part = await ledger.take({ signal: AbortSignal.timeout(1000) });
    assert.ok(part);
    ledger.uploaded(part, etag);
  };
  let sentParts = 0;
  const reported = () => sent.map((message) => ('parts' in message ? message.parts.length : 0));
  return { ledger, link, progress, sent, upload, reported };
}

test('parts are reported in batches, at most four times a second, and each once', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  const { progress, upload, reported } = setUp(10);
  for (let second = 0; second < 2; second += 1) {
    for (let part = 0; part < 4; part += 1) await upload();
    mock.timers.tick(1000);
  }
  progress.close();
  mock.timers.reset();
  assert.deepEqual(reported(), [4, 4]);
});

test('reports wait while the connection is congested, and are flushed before the final message', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  const { link, progress, upload, reported } = setUp(3);
  await upload();
  link.congested = true;
  mock.timers.tick(5000);
  assert.deepEqual(reported(), []);
  await upload();
  progress.flush();
  progress.close();
  mock.timers.reset();
  assert.deepEqual(reported(), [2]);
});

test('parts that could not be reported on a closed connection are reported later', async () => {
  const { link, progress, upload, reported } = setUp(3);
  await upload();
  link.connected = false;
  progress.flush();
  assert.deepEqual(reported(), []);
  link.connected = true;
  progress.flush();
  progress.close();
  assert.deepEqual(reported(), [1]);
});

test('a report never exceeds a frame, however long the ETags', async () => {
  const { progress, upload, sent, reported } = setUp(4100);
  for (let part = 0; part < 4100; part += 1) await upload('e'.repeat(256));
  progress.flush();
  progress.close();
  assert.deepEqual(reported(), [2000, 2000, 100]);
  for (const message of sent) assert.ok(JSON.stringify(message).length < 1024 * 1024);
});

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
