import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { type Socket, connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { AgentSocket } from '../protocol/agent-socket.ts';
import { plainHello } from '../protocol/suite-client.ts';
import { Stage } from '../harness/stage.ts';

const upgrade = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
  'Sec-WebSocket-Protocol: backhaul.v1\r\n\r\n';

/** Data that a client sends before it falls silent, and the status of the response. */
const kinds = [
  { name: 'nothing', sends: '', status: 400 },
  { name: 'half a header', sends: 'GET /ws/connect HTTP/1.1\r\nHost: x\r\nAuthoriz', status: 400 },
  { name: 'an upgrade without a token', sends: upgrade('/ws/connect'), status: 401 },
  { name: 'an upgrade to another path', sends: upgrade('/elsewhere'), status: 404 },
  { name: 'a request without a token', sends: 'GET /uploads HTTP/1.1\r\nHost: x\r\n\r\n', status: 401 },
  { name: 'no HTTP', sends: 'hello\r\n\r\n', status: 400 },
] as const;
const EACH = 300;
/** Four kinds that were seen to hold a descriptor for longer than five minutes. */
const SILENT = kinds.slice(0, 4);
const DEADLINE_MS = 15_000;
const FEW_DESCRIPTORS = ['prlimit', '--nofile=1024:1024'];

test('connections whose client keeps its half open are answered and closed within 15 s', async (t) => {
  await using stage = await Stage.start({ env: { MAX_UNAUTHENTICATED_PER_ADDRESS: '0' } });
  const before = await descriptors(stage);
  const sockets = kinds.flatMap((kind) =>
    Array.from({ length: EACH }, () => new HalfOpen(openTo(stage), kind.sends)),
  );
  t.after(() => sockets.forEach(({ socket }) => socket.destroy()));
  await Promise.all(sockets.map(({ connected }) => connected));
  const began = performance.now();
  const most = await descriptors(stage);
  assert.ok(most > before + EACH, `only ${most} descriptors`);
  const gone = await descriptorsBackTo(stage, before, began + DEADLINE_MS);
  t.diagnostic(
    `${sockets.length} connections: ${before} descriptors before, ${most} at most, back after ${(gone / 1000).toFixed(1)} s`,
  );
  for (const [index, { name, status }] of kinds.entries()) {
    const own = sockets.slice(index * EACH, (index + 1) * EACH);
    const answered = own.filter(({ answer }) => answer.startsWith(`HTTP/1.1 ${status} `)).length;
    t.diagnostic(`${name}: ${answered} of ${EACH} answered with ${status}`);
    assert.equal(
      answered,
      EACH,
      `${name}: ${own.find(({ answer }) => !answer.includes(` ${status} `))?.answer}`,
    );
  }
});

test('with 1,024 descriptors and 1,200 such connections an agent and /healthz are served', async (t) => {
  await using stage = await Stage.start({ through: FEW_DESCRIPTORS });
  const began = performance.now();
  const sockets = SILENT.flatMap((kind) =>
    Array.from({ length: EACH }, () => new HalfOpen(openTo(stage), kind.sends)),
  );
  t.after(() => sockets.forEach(({ socket }) => socket.destroy()));
  await Promise.all(sockets.map(({ connected }) => connected));
  await servedBy(stage, began + DEADLINE_MS);
  t.diagnostic(
    `served ${((performance.now() - began) / 1000).toFixed(1)} s after the first of ${sockets.length}`,
  );
});

test('an address that opens a new connection for each that it loses keeps no other address out', async (t) => {
  await using stage = await Stage.start({ through: FEW_DESCRIPTORS });
  let opened = 0;
  let isOver = false;
  const sockets = new Set<Socket>();
  t.after(() => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  });
  const attack = (): void => {
    if (isOver) return;
    opened += 1;
    const socket = openTo(stage, '127.0.0.2');
    sockets.add(socket);
    socket.resume().once('end', () => socket.destroy());
    socket.once('close', () => {
      sockets.delete(socket);
      setTimeout(attack, 2000);
    });
  };
  for (let count = 0; count < 1000; count += 1) attack();
  for (let round = 0; round < 10; round += 1) {
    const began = performance.now();
    await servedBy(stage, began + DEADLINE_MS);
    await sleep(500);
  }
  const refused = await refusals(stage, 'per_address');
  t.diagnostic(`10 agents served, ${opened} hostile connections, ${refused} of them dropped for the limit`);
  assert.ok(refused > 500, `${refused} refused`);
});

test('over TLS they are closed as well, before, during and after the handshake', async (t) => {
  await using stage = await Stage.start();
  const [certFile, keyFile] = [stage.directory.join('tls.crt'), stage.directory.join('tls.key')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile],
  ]);
  await stage.restartServer({ env: { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } });
  const before = await descriptors(stage);
  const sockets = Array.from({ length: 50 }, () => [
    new HalfOpen(openTo(stage), ''),
    // Sends the head of a record that would be a ClientHello.
    new HalfOpen(openTo(stage), Buffer.from('1603010200010001fc', 'hex')),
    new HalfOpen(openTo(stage), 'GET / HTTP/1.1\r\n\r\n'),
    new HalfOpen(openTlsTo(stage), ''),
    new HalfOpen(openTlsTo(stage), upgrade('/ws/connect')),
  ]).flat();
  t.after(() => sockets.forEach(({ socket }) => socket.destroy()));
  await Promise.all(sockets.map(({ connected }) => connected));
  const began = performance.now();
  const most = await descriptors(stage);
  assert.ok(most > before + 50, `only ${most} descriptors`);
  const gone = await descriptorsBackTo(stage, before, began + DEADLINE_MS);
  t.diagnostic(
    `${sockets.length} connections, ${most - before} descriptors, back after ${(gone / 1000).toFixed(1)} s`,
  );
  const answered = sockets.filter(({ answer }) => answer.startsWith('HTTP/1.1 401 ')).length;
  assert.equal(answered, 50);
});

/** A client that never closes its side of the connection. */
class HalfOpen {
  readonly socket: Socket;
  /** Resolves once it is connected or refused. */
  readonly connected: Promise<void>;
  answer = '';

  constructor(socket: Socket, sends: string | Buffer) {
    this.socket = socket;
    this.connected = new Promise((resolve) => {
      socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => {
        socket.write(sends);
        resolve();
      });
      socket.once('close', () => resolve());
    });
    socket.on('data', (chunk: Buffer) => {
      this.answer += chunk.toString('latin1');
    });
  }
}

function openTo(stage: Stage, localAddress?: string): Socket {
  const socket = connect({
    ...{ host: '127.0.0.1', port: Number(new URL(stage.url).port), allowHalfOpen: true },
    ...(localAddress === undefined ? {} : { localAddress }),
  });
  return socket.on('error', () => {});
}

function openTlsTo(stage: Stage): Socket {
  return connectTls({ socket: openTo(stage), rejectUnauthorized: false }).on('error', () => {});
}

async function descriptors(stage: Stage): Promise<number> {
  return (await readdir(`/proc/${stage.server.pid}/fd`)).length;
}

/** @returns Milliseconds since `deadline` minus {@link DEADLINE_MS}. */
async function descriptorsBackTo(stage: Stage, before: number, deadline: number): Promise<number> {
  for (;;) {
    const open = await descriptors(stage);
    const now = performance.now();
    // A few descriptors may be the server's connections to its store.
    if (open <= before + 5) return now - (deadline - DEADLINE_MS);
    assert.ok(now < deadline, `${open} descriptors, ${before} before`);
    await sleep(100);
  }
}

/** Retries as agents and probes do until both are served. */
async function servedBy(stage: Stage, deadline: number): Promise<void> {
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(deadline - performance.now())));
  for (;;) {
    try {
      const answer = await fetch(`${stage.url}/healthz`, { signal });
      assert.equal(answer.status, 200);
      const agent = await AgentSocket.open({
        url: `${stage.webSocketUrl}/ws/connect`,
        authorization: `Bearer ${await stage.tokens.agent('till')}`,
      });
      assert.ok(agent instanceof AgentSocket);
      agent.send(plainHello);
      await agent.next('welcome');
      return await agent.close();
    } catch (error) {
      if (signal.aborted) throw new Error('not served in time', { cause: error });
      await sleep(250);
    }
  }
}

async function refusals(stage: Stage, reason: string): Promise<number> {
  const text = await (await stage.fetch('/metrics')).text();
  const pattern = new RegExp(`^backhaul_connections_refused_total\\{reason="${reason}"\\} (\\d+)$`, 'm');
  return Number(pattern.exec(text)?.[1]);
}
