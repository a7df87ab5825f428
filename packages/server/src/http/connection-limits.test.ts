import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connectionLimits, type ConnectionLimits, UnauthenticatedConnections } from './connection-limits.ts';

const unset = { connections: null, unauthenticated: null, unauthenticatedPerAddress: null };

test('with few descriptors some are reserved for the database and the object store, and most are for agents', () => {
  assert.deepEqual(connectionLimits(unset, 1024), {
    connections: 896,
    unauthenticated: 448,
    unauthenticatedPerAddress: 224,
  });
  assert.equal(connectionLimits(unset, 100).connections, 50);
});

test('with many descriptors, or an unknown number, unauthenticated connections are still limited', () => {
  const plenty = { unauthenticated: 2048, unauthenticatedPerAddress: 1024 };
  assert.deepEqual(connectionLimits(unset, 1_048_576), { connections: 1_048_448, ...plenty });
  assert.deepEqual(connectionLimits({ ...unset, connections: 0 }, 1024), { connections: 0, ...plenty });
});

test('configured limits are used unchanged', () => {
  const set = { connections: 10, unauthenticated: 0, unauthenticatedPerAddress: 5000 };
  assert.deepEqual(connectionLimits(set, 1024), set);
});

test('on Linux the process’s own limit is read', { skip: process.platform !== 'linux' }, () => {
  assert.ok(connectionLimits(unset).connections > 0);
});

const unlimited = { connections: 0, unauthenticated: 0, unauthenticatedPerAddress: 0 };

/** A server that authenticates every request and never responds. */
class Fixture implements AsyncDisposable {
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

  /** Resolves once the server has accepted it. */
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
  await using fixture = await new Fixture({}).start();
  const first = await fixture.open();
  const second = await fixture.open();
  assert.equal(fixture.connections.size, 2);
  const asked = once(fixture.server, 'request');
  first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await asked;
  assert.equal(fixture.connections.size, 1);
  second.destroy();
  while (fixture.connections.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('above the limit of an address its newest connection is closed while its oldest is young', async () => {
  await using fixture = await new Fixture({ unauthenticatedPerAddress: 2 }).start();
  const first = await fixture.open();
  const second = await fixture.open();
  const third = await fixture.open();
  await once(third, 'close');
  assert.deepEqual(fixture.refused, ['per_address']);
  assert.ok(!first.closed && !second.closed);
});

test('connections of a trusted proxy count for the addresses it names, and for none before', async () => {
  await using fixture = await new Fixture(
    { unauthenticatedPerAddress: 2 },
    (it) => it === '127.0.0.1',
  ).start();
  const { server, connections } = fixture;
  const sockets = [];
  for (let count = 0; count < 5; count += 1) {
    const taken = once(server, 'connection');
    const client = await fixture.open();
    const [socket] = (await taken) as [Socket];
    sockets.push({ client, socket });
  }
  for (const { socket } of sockets.slice(0, 3)) connections.cameFrom(socket, '203.0.113.9');
  for (const { socket } of sockets.slice(3)) connections.cameFrom(socket, '203.0.113.10');
  await once(sockets[2]?.client ?? server, 'close');
  assert.deepEqual(fixture.refused, ['per_address']);
  assert.equal(connections.size, 4);
});

test('above the limit of an address its oldest connection is closed once its grace period is over', async (t) => {
  await using fixture = await new Fixture({ unauthenticatedPerAddress: 2 }).start();
  const first = await fixture.open();
  const second = await fixture.open();
  const now = performance.now() + 3001;
  t.mock.method(performance, 'now', () => now);
  const third = await fixture.open();
  await once(first, 'close');
  assert.ok(!second.closed && !third.closed);
});

test('above the total limit a connection of the address with the most is closed', async () => {
  await using fixture = await new Fixture({ unauthenticated: 3 }).start();
  await fixture.open({ from: '127.0.0.2' });
  await fixture.open({ from: '127.0.0.2' });
  const greedy = await fixture.open({ from: '127.0.0.2' });
  const other = await fixture.open();
  await once(greedy, 'close');
  assert.deepEqual(fixture.refused, ['unauthenticated']);
  assert.ok(!other.closed);
});

test('a connection that lives too long without a token is closed', async (t) => {
  await using fixture = await new Fixture({}).start();
  const slow = await fixture.open();
  const now = performance.now() + 30_001;
  t.mock.method(performance, 'now', () => now);
  await once(slow, 'close');
  assert.deepEqual(fixture.refused, ['too_slow']);
});

test('above the limit of all connections new ones are not accepted', async () => {
  await using fixture = await new Fixture({ connections: 1 }).start();
  await fixture.open();
  const { port } = fixture.server.address() as AddressInfo;
  const second = connect(port, '127.0.0.1').on('error', () => {});
  await once(second, 'close');
  assert.deepEqual(fixture.refused, ['connections']);
});

test('a client that resets its connection and reconnects from the same port counts once', async (t) => {
  await using fixture = await new Fixture({ unauthenticatedPerAddress: 4 }).start();
  const events: string[] = [];
  fixture.server.on('connection', (socket: Socket) => {
    events.push('connection');
    socket.on('close', () => events.push('close'));
  });
  let client = await fixture.open();
  for (let count = 0; count < 10; count += 1) {
    if (client.connecting) await once(client, 'connect');
    const fromPort = client.localPort;
    // The server reads from both in one turn, in which the new connection is announced before the end of the old one.
    client.resetAndDestroy();
    client = await fixture.open({ fromPort: fromPort ?? 0 });
  }
  assert.deepEqual(events.slice(0, 3), ['connection', 'connection', 'close'], 'the order under test');
  assert.equal(fixture.connections.size, 1);
  const now = performance.now() + 3001;
  t.mock.method(performance, 'now', () => now);
  for (let count = 0; count < 6; count += 1) await fixture.open();
  while (fixture.connections.size > 4) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(fixture.refused, ['per_address', 'per_address', 'per_address']);
});
