import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';
import { TcpFaultProxy } from './tcp-fault-proxy.ts';

const MiB = 1024 * 1024;

/** An echo server behind a proxy. */
class Stand implements AsyncDisposable {
  readonly proxy: TcpFaultProxy;
  /** The target's side of each connection. */
  readonly accepted: Socket[] = [];
  readonly #cleanup: AsyncDisposableStack;

  private constructor(proxy: TcpFaultProxy, accepted: Socket[], cleanup: AsyncDisposableStack) {
    this.proxy = proxy;
    this.accepted = accepted;
    this.#cleanup = cleanup;
  }

  static async start(): Promise<Stand> {
    await using cleanup = new AsyncDisposableStack();
    const accepted: Socket[] = [];
    const target = createServer((socket) => {
      accepted.push(socket);
      socket.on('error', () => undefined).pipe(socket);
    });
    target.listen(0, '127.0.0.1');
    await once(target, 'listening');
    cleanup.defer(() => {
      for (const socket of accepted) socket.destroy();
      target.close();
    });
    const { port } = target.address() as AddressInfo;
    const proxy = cleanup.use(await TcpFaultProxy.start({ target: `tcp://127.0.0.1:${port}` }));
    return new Stand(proxy, accepted, cleanup.move());
  }

  async connect(): Promise<Socket> {
    const socket = connect(this.proxy.port, '127.0.0.1');
    this.#cleanup.defer(() => void socket.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync();
  }
}

/** Sends the text and waits for the echo. */
async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  let heard = '';
  while (heard.length < text.length) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    heard += chunk.toString();
  }
  return heard;
}

/** Returns the events with which the connection ended, in order. */
async function ending(socket: Socket): Promise<string> {
  const seen: string[] = [];
  socket
    .on('end', () => seen.push('end'))
    .on('error', ({ code }: NodeJS.ErrnoException) => seen.push(`${code}`));
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return seen.join(' ');
}

async function hearsNothing(socket: Socket, ms = 60): Promise<void> {
  let heard = 0;
  const listener = (chunk: Buffer): void => void (heard += chunk.length);
  socket.on('data', listener);
  await sleep(ms);
  socket.off('data', listener);
  assert.equal(heard, 0);
}

describe('a TCP proxy', { concurrency: true }, () => {
  test('passes all bytes both ways, half-closed connections too, and counts them', async () => {
    await using stand = await Stand.start();
    const bytes = randomBytes(8 * MiB);
    const sockets = await Promise.all([stand.connect(), stand.connect()]);
    const heard = await Promise.all(
      sockets.map(async (socket) => {
        socket.end(bytes);
        return await buffer(socket);
      }),
    );
    assert.ok(heard.every((echoed) => echoed.equals(bytes)));
    assert.equal(stand.proxy.bytesToTarget, 16 * MiB);
    assert.equal(stand.proxy.bytesToClient, 16 * MiB);
    assert.equal(stand.proxy.bytes, 32 * MiB);
    assert.deepEqual(new Set(Object.values(stand.proxy.fired)), new Set([0]));
    while (stand.proxy.connectionCount > 0) await sleep(5);
  });

  test('hands on a reset as a reset, from either side', async () => {
    await using stand = await Stand.start();
    const [client, other] = [await stand.connect(), await stand.connect()];
    await Promise.all([echo(client, 'a'), echo(other, 'b')]);
    const [, target] = stand.accepted;
    assert.ok(target !== undefined);
    const ends = Promise.all([ending(client), ending(target)]);
    stand.accepted[0]?.resetAndDestroy();
    other.resetAndDestroy();
    assert.deepEqual(await ends, ['ECONNRESET', 'ECONNRESET']);
    while (stand.proxy.connectionCount > 0) await sleep(5);
  });

  test('cuts connections with a FIN, and resets them with a RST; new ones are taken', async () => {
    await using stand = await Stand.start();
    for (const [act, seen] of [
      ['cut', 'end'],
      ['reset', 'ECONNRESET'],
    ] as const) {
      const open = stand.proxy.connectionCount;
      const sockets = await Promise.all([stand.connect(), stand.connect()]);
      for (const socket of sockets) await echo(socket, 'x');
      const ends = sockets.map(ending);
      stand.proxy[act]();
      assert.deepEqual(await Promise.all(ends), [seen, seen]);
      assert.equal(stand.proxy.fired[act], open + 2);
      assert.equal(await echo(await stand.connect(), 'again'), 'again');
      while (stand.proxy.connectionCount > 1) await sleep(5);
    }
  });

  test('goes silent without a word, for old and new connections, and goes on with what was held', async () => {
    await using stand = await Stand.start();
    const old = await stand.connect();
    await echo(old, 'a');
    stand.proxy.halfOpen();
    const young = await stand.connect();
    await stand.proxy.tookEffect('halfOpen', { times: 2 });
    old.write('held');
    young.write('new');
    stand.accepted[0]?.write('unheard');
    await Promise.all([hearsNothing(old), hearsNothing(young)]);
    assert.equal(stand.accepted.length, 1);
    assert.equal(stand.proxy.connectionCount, 2);
    const heard = Promise.all([once(old, 'data'), once(young, 'data')]);
    await stand.proxy.resume();
    const [[first], [second]] = (await heard) as [[Buffer], [Buffer]];
    assert.match(first.toString(), /unheard|held/);
    assert.equal(second.toString(), 'new');
    assert.equal(stand.proxy.fired.halfOpen, 2);
  });

  test('strands connections without a word and for good, and new ones pass', async () => {
    await using stand = await Stand.start();
    const old = await stand.connect();
    await echo(old, 'a');
    stand.proxy.strand();
    assert.equal(stand.proxy.fired.strand, 1);
    old.write('lost');
    stand.accepted[0]?.write('unheard');
    const young = await stand.connect();
    assert.equal(await echo(young, 'b'), 'b');
    await stand.proxy.resume();
    await hearsNothing(old);
    assert.equal(stand.proxy.bytesToTarget, 2);
    assert.deepEqual([old.closed, stand.accepted[0]?.closed], [false, false]);
    stand.proxy.strand();
    assert.equal(stand.proxy.fired.strand, 2, 'once is enough');
  });

  test('keeps an end from the other side while it is silent', async () => {
    await using stand = await Stand.start();
    const client = await stand.connect();
    await echo(client, 'a');
    stand.proxy.halfOpen();
    const over = ending(client);
    stand.accepted[0]?.destroy();
    assert.equal(await Promise.race([over, sleep(60, 'still open')]), 'still open');
    await stand.proxy.resume();
    assert.equal(await over, 'end');
  });

  test('refuses connections, and listens again at the same port', async () => {
    await using stand = await Stand.start();
    const old = await stand.connect();
    await echo(old, 'a');
    stand.proxy.refuse();
    stand.proxy.refuse();
    await assert.rejects(stand.connect(), { code: 'ECONNREFUSED' });
    assert.equal(await echo(old, 'still here'), 'still here');
    await stand.proxy.resume();
    assert.equal(await echo(await stand.connect(), 'b'), 'b');
    assert.equal(stand.proxy.fired.refuse, 1);
  });

  test('stops reading from clients, who still hear the target', async () => {
    await using stand = await Stand.start();
    const client = await stand.connect();
    await echo(client, 'a');
    stand.proxy.stopReading();
    client.write(Buffer.alloc(32 * MiB, 'x'));
    while (client.bytesWritten === 1) await sleep(5);
    const heard = once(client, 'data');
    stand.accepted[0]?.write('hello');
    assert.equal(String((await heard)[0]), 'hello');
    await sleep(50);
    assert.ok(client.writableLength > 16 * MiB, 'the system took it all');
    assert.equal(stand.proxy.bytesToTarget, 1);
    assert.equal(stand.proxy.fired.stopReading, 1);
    client.resume();
    await stand.proxy.resume();
    while (stand.proxy.bytesToTarget < 32 * MiB + 1) await sleep(5);
  });

  test('cuts each connection after so many bytes, or only some of them', async () => {
    await using stand = await Stand.start();
    const old = await stand.connect();
    await echo(old, 'before');
    stand.proxy.limitBytes(1000, { connections: 2 });
    const young = await stand.connect();
    await Promise.all(
      [old, young].map(async (socket) => {
        const heard = buffer(socket);
        socket.write(Buffer.alloc(5000));
        assert.ok((await heard).length < 1000);
      }),
    );
    assert.equal(stand.proxy.bytes, 12 + 2000);
    assert.equal(stand.proxy.fired.limitBytes, 2);
    const spared = await stand.connect();
    assert.equal((await echo(spared, 'x'.repeat(2000))).length, 2000);
    stand.proxy.limitBytes(undefined);
  });

  test('delays each way, and keeps the order', async () => {
    await using stand = await Stand.start();
    const client = await stand.connect();
    stand.proxy.delay(40);
    const startedAt = performance.now();
    const heard = echo(client, 'abc'.repeat(20));
    assert.equal(await heard, 'abc'.repeat(20));
    assert.ok(performance.now() - startedAt >= 79);
    assert.ok(stand.proxy.fired.delay >= 2);
    stand.proxy.delay(0);
    const before = stand.proxy.fired.delay;
    await echo(client, 'x');
    assert.equal(stand.proxy.fired.delay, before);
  });

  test('limits the rate of all connections together', async () => {
    await using stand = await Stand.start();
    const sockets = await Promise.all([stand.connect(), stand.connect()]);
    stand.proxy.limitBandwidth(4 * MiB);
    // On a busy machine the programs may be slower than the link, and then the limit has no effect.
    do {
      const startedAt = performance.now();
      await Promise.all(sockets.map((socket) => echo(socket, 'x'.repeat(MiB / 2))));
      const ms = performance.now() - startedAt;
      // The minimum excludes the credit for late timers.
      assert.ok(ms >= 190, `${ms} ms`);
    } while (stand.proxy.fired.limitBandwidth === 0);
  });

  test('limits the rate of each connection, and of all together if that is less', async () => {
    await using stand = await Stand.start();
    stand.proxy.limitConnectionBandwidth(200_000);
    const text = 'x'.repeat(40_000);
    const sockets = await Promise.all([stand.connect(), stand.connect(), stand.connect()]);
    const startedAt = performance.now();
    await Promise.all(sockets.map((socket) => echo(socket, text)));
    const tookMs = performance.now() - startedAt;
    // Each echo travels both ways at once at 200,000 bytes a second.
    assert.ok(tookMs > 130, `${tookMs} ms for each alone`);
    assert.ok(stand.proxy.fired.limitConnectionBandwidth > 3);
    stand.proxy.limitBandwidth(200_000);
    const togetherAt = performance.now();
    await Promise.all(sockets.map((socket) => echo(socket, text)));
    assert.ok(performance.now() - togetherAt > 500, 'three share the line');
  });

  test('lets each so many-th new connection stall, and the others pass', async () => {
    await using stand = await Stand.start();
    stand.proxy.strandSome({ each: 3, first: 2 });
    const sockets: Socket[] = [];
    for (let number = 1; number <= 5; number += 1) sockets.push(await stand.connect());
    const [first, second, third, fourth, fifth] = sockets;
    assert.ok(first && second && third && fourth && fifth);
    for (const socket of [first, third, fourth]) assert.equal(await echo(socket, 'a'), 'a');
    for (const socket of [second, fifth]) socket.write('lost');
    await Promise.all([hearsNothing(second), hearsNothing(fifth)]);
    assert.equal(stand.proxy.fired.strandSome, 2);
  });

  test('ends a connection after so many answers, of which an interim one is none', async () => {
    await using stand = await Stand.start();
    stand.proxy.endAfterAnswers(2);
    const client = await stand.connect();
    for (const answer of ['HTTP/1.1 100 Continue', 'HTTP/1.1 200 OK'])
      assert.equal(await echo(client, answer), answer);
    const over = ending(client);
    client.write('HTTP/1.1 503 Service Unavailable');
    assert.equal(await over, 'end');
    assert.equal(stand.proxy.fired.endAfterAnswers, 1);
    assert.equal(await echo(await stand.connect(), 'b'), 'b');
  });

  test('closes with all its connections', async () => {
    const stand = await Stand.start();
    const client = await stand.connect();
    await echo(client, 'x');
    stand.proxy.halfOpen();
    const young = await stand.connect();
    const ends = [ending(client), ending(young)];
    await stand.proxy[Symbol.asyncDispose]();
    await Promise.all(ends);
    await assert.rejects(stand.connect(), { code: 'ECONNREFUSED' });
    await stand[Symbol.asyncDispose]();
  });

  test('stands before a WebSocket as well', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    const target = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using proxy = await TcpFaultProxy.start({ target });
    const client = new WebSocket(proxy.endpoint);
    await once(client, 'open');
    client.send('hello');
    assert.equal(String((await once(client, 'message'))[0]), 'hello');
    const closed = once(client, 'close');
    proxy.cut();
    assert.equal((await closed)[0], 1006);
    server.close();
  });
});

test('an address without a port is refused', async () => {
  await assert.rejects(TcpFaultProxy.start({ target: 'http://127.0.0.1' }), /names no port/);
});
