import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { test } from 'node:test';
import type { ConnectionLimits } from './connection-limits.ts';
import { UnauthenticatedConnections } from './unauthenticated-connections.ts';

const unlimited = { connections: 0, unauthenticated: 0, unauthenticatedPerAddress: 0 };

/** A server that takes every request as authenticated, and never answers. */
class Bench implements AsyncDisposable {
  readonly server: Server = createServer((request) => this.connections.authenticated(request.socket));
  readonly refused: string[] = [];
  readonly connections: UnauthenticatedConnections;
  readonly #clients: Socket[] = [];

  constructor(limits: Partial<ConnectionLimits>, isProxy?: (address: string) => boolean) {
    this.connections = new UnauthenticatedConnections(
      { ...unlimited, ...limits },
      (reason) => this.refused.push(reason),
      isProxy,
    );
    this.connections.watch(this.server);
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** Resolves once the server has taken it. */
  async open({ from = '127.0.0.1', fromPort = 0 } = {}): Promise<Socket> {
    const { port } = this.server.address() as AddressInfo;
    const client = connect({ host: '127.0.0.1', port, localAddress: from, localPort: fromPort });
    client.on('error', () => {});
    this.#clients.push(client);
    await once(this.server, 'connection');
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

test('a connection counts until a request on it is authenticated, or it closes', async () => {
  await using bench = await new Bench({}).start();
  const first = await bench.open();
  const second = await bench.open();
  assert.equal(bench.connections.size, 2);
  const asked = once(bench.server, 'request');
  first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await asked;
  assert.equal(bench.connections.size, 1);
  second.destroy();
  while (bench.connections.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('above the limit of an address its newest is dropped while its oldest is young', async () => {
  await using bench = await new Bench({ unauthenticatedPerAddress: 2 }).start();
  const first = await bench.open();
  const second = await bench.open();
  const third = await bench.open();
  await once(third, 'close');
  assert.deepEqual(bench.refused, ['per_address']);
  assert.ok(!first.closed && !second.closed);
});

test('connections of a trusted proxy count for the addresses that it names, and for none before', async () => {
  await using bench = await new Bench({ unauthenticatedPerAddress: 2 }, (it) => it === '127.0.0.1').start();
  const { server, connections } = bench;
  const sockets = [];
  for (let count = 0; count < 5; count += 1) {
    const taken = once(server, 'connection');
    const client = await bench.open();
    const [socket] = (await taken) as [Socket];
    sockets.push({ client, socket });
  }
  for (const { socket } of sockets.slice(0, 3)) connections.cameFrom(socket, '203.0.113.9');
  for (const { socket } of sockets.slice(3)) connections.cameFrom(socket, '203.0.113.10');
  await once(sockets[2]?.client ?? server, 'close');
  assert.deepEqual(bench.refused, ['per_address']);
  assert.equal(connections.size, 4);
});

test('above the limit of an address its oldest is dropped once it has had its time', async (t) => {
  await using bench = await new Bench({ unauthenticatedPerAddress: 2 }).start();
  const first = await bench.open();
  const second = await bench.open();
  const now = performance.now() + 3001;
  t.mock.method(performance, 'now', () => now);
  const third = await bench.open();
  await once(first, 'close');
  assert.ok(!second.closed && !third.closed);
});

test('above the limit of all the address with the most pays', async () => {
  await using bench = await new Bench({ unauthenticated: 3 }).start();
  await bench.open({ from: '127.0.0.2' });
  await bench.open({ from: '127.0.0.2' });
  const greedy = await bench.open({ from: '127.0.0.2' });
  const other = await bench.open();
  await once(greedy, 'close');
  assert.deepEqual(bench.refused, ['unauthenticated']);
  assert.ok(!other.closed);
});

test('one that lives too long without a token is closed', async (t) => {
  await using bench = await new Bench({}).start();
  const slow = await bench.open();
  const now = performance.now() + 30_001;
  t.mock.method(performance, 'now', () => now);
  await once(slow, 'close');
  assert.deepEqual(bench.refused, ['too_slow']);
});

test('above the limit of all connections none is taken', async () => {
  await using bench = await new Bench({ connections: 1 }).start();
  await bench.open();
  const { port } = bench.server.address() as AddressInfo;
  const second = connect(port, '127.0.0.1').on('error', () => {});
  await once(second, 'close');
  assert.deepEqual(bench.refused, ['connections']);
});

test('a client that resets its connection and comes again from the same port counts once', async (t) => {
  await using bench = await new Bench({ unauthenticatedPerAddress: 4 }).start();
  const told: string[] = [];
  bench.server.on('connection', (socket: Socket) => {
    told.push('connection');
    socket.on('close', () => told.push('close'));
  });
  let client = await bench.open();
  for (let count = 0; count < 10; count += 1) {
    if (client.connecting) await once(client, 'connect');
    const fromPort = client.localPort;
    // The server reads of both in one turn, in which the new connection is told of before the end of the old one.
    client.resetAndDestroy();
    client = await bench.open({ fromPort: fromPort ?? 0 });
  }
  assert.deepEqual(told.slice(0, 3), ['connection', 'connection', 'close'], 'the order that this is about');
  assert.equal(bench.connections.size, 1);
  const now = performance.now() + 3001;
  t.mock.method(performance, 'now', () => now);
  for (let count = 0; count < 6; count += 1) await bench.open();
  while (bench.connections.size > 4) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(bench.refused, ['per_address', 'per_address', 'per_address']);
});
