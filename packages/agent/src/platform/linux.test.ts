import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readSendQueues, sharedReading } from './linux.ts';
import { queueKey } from './platform.ts';

for (const host of ['127.0.0.1', '::1']) {
  test(
    `counts bytes that a peer at ${host} has not acknowledged, although the write has completed`,
    { skip: process.platform !== 'linux' && 'it is read from /proc' },
    async () => {
      await using server = createServer({ pauseOnConnect: true }).listen(0, host);
      await once(server, 'listening');
      const client = connect((server.address() as AddressInfo).port, host);
      const [[peer]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
        [Socket],
        [],
      ];
      try {
        client.write(Buffer.alloc(64 * 1024 * 1024));
        let queued = 0;
        // More than the receive buffer of the peer.
        while (queued < 100_000) {
          await delay(5);
          queued = await queuedBytes(client);
        }
        peer.resume();
        while ((await queuedBytes(client)) > 0) await delay(5);
      } finally {
        client.destroy();
        peer.destroy();
      }
    },
  );
}

test(
  'a table of many pages is read completely, and empty queues are omitted',
  { skip: process.platform !== 'linux' && 'it is read from /proc' },
  async () => {
    const accepted: Socket[] = [];
    await using server = createServer({ pauseOnConnect: true }, (peer) => accepted.push(peer));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const clients = Array.from({ length: 300 }, () => connect(port, '127.0.0.1'));
    try {
      await Promise.all(clients.map((client) => once(client, 'connect')));
      const busy = clients.filter((_, index) => index % 50 === 0);
      const quiet = clients.filter((_, index) => index % 50 !== 0);
      for (const client of busy) client.write(Buffer.alloc(8 * 1024 * 1024));
      for (const client of busy) while ((await queuedBytes(client)) === 0) await delay(5);
      const { queues, connections } = await readSendQueues();
      assert.ok(connections >= 2 * clients.length, `${connections}`);
      assert.ok(busy.every(({ localPort = 0 }) => queues?.has(queueKey(localPort, port))));
      assert.ok(quiet.every(({ localPort = 0 }) => queues?.has(queueKey(localPort, port)) === false));
    } finally {
      for (const socket of [...clients, ...accepted]) socket.destroy();
    }
  },
);

test('callers before a read share it; later callers get data from after their call', async () => {
  const startedAt: number[] = [];
  const first = Promise.withResolvers<void>();
  const read = async (): Promise<number> => {
    const nth = startedAt.push(performance.now());
    if (nth === 1) await first.promise;
    return nth;
  };
  const readShared = sharedReading(read, () => 100);
  const early = [readShared(), readShared()];
  while (startedAt.length === 0) await delay(1);
  const late = [readShared(), readShared(), readShared()];
  first.resolve();
  assert.deepEqual(await Promise.all([...early, ...late]), [1, 1, 2, 2, 2]);
  const [one = 0, two = 0] = startedAt;
  assert.ok(two - one >= 90, `${two - one} ms`);
});

async function queuedBytes({ localPort = 0, remotePort = 0 }: Socket): Promise<number> {
  const { queues } = await readSendQueues();
  return queues?.get(queueKey(localPort, remotePort)) ?? 0;
}
