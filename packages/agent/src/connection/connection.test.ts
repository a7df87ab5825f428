import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { noProxies, proxyFor, type ProxyInUse } from '@backhaul/program';
import { closeCodes } from '@backhaul/protocol';
import { tokenSource } from '../credentials/token-source.ts';
import { AgentFixture } from '../../../../test/harness/agent/agent-fixture.ts';
import { FakeServer, within } from '../../../../test/doubles/fake-server.ts';
import { createLog } from '../log.ts';
import { ServerLink } from './server-link.ts';
import { type ConnectionEnd, defaultReconnectTimings, planReconnect } from './connection-end.ts';

test('the token is sent in the Authorization header and never in the URL', async () => {
  await using fixture = await AgentFixture.start();
  await fixture.server.accept();
  const [upgrade] = fixture.server.upgrades;
  assert.equal(upgrade?.headers.authorization, 'Bearer agent-token');
  assert.equal(upgrade?.url, '/ws/connect');
  assert.equal(upgrade?.headers['sec-websocket-protocol'], 'backhaul.v1');
  assert.equal(upgrade?.headers['sec-websocket-extensions'], undefined, 'no compression');
});

test('hello describes the agent and contains its first --file', async () => {
  await using fixture = await AgentFixture.start({
    config: {
      files: ['/data/report.bin', '/data/day.log'],
      labels: { site: 'berlin' },
      maxUploads: 3,
      parallelParts: 5,
    },
  });
  const hello = await (await fixture.server.accept()).next('hello');
  assert.equal(hello.default_file_path, '/data/report.bin');
  assert.deepEqual(hello.labels, { site: 'berlin' });
  assert.deepEqual(hello.limits, { max_uploads: 3, parallel_parts: 5 });
  assert.deepEqual(hello.running, []);
});

test('the agent reconnects after a lost connection, and sends hello first', async () => {
  await using fixture = await AgentFixture.start();
  for (let round = 0; round < 3; round += 1) {
    const session = await fixture.server.acceptAndWelcome();
    await session.settled();
    session.socket.terminate();
  }
});

test('unknown, malformed and binary frames get an error response, and the connection stays open', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.acceptAndWelcome();
  for (const frame of [
    'not json',
    '[]',
    '{"action":"self_destruct"}',
    '{"action":"cancel_upload"}',
    Buffer.from('{}'),
  ]) {
    session.socket.send(frame);
    assert.equal((await session.next('error')).code, 'protocol_error');
  }
  await session.settled();
});

test('any number of unknown messages get error responses and do not close the connection', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.acceptAndWelcome();
  for (let count = 0; count < 300; count += 1) session.socket.send('{"action":"of_the_future"}');
  for (let count = 0; count < 300; count += 1) await session.next('error');
  await session.settled();
});

test('messages before welcome are rejected', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.accept();
  await session.next('hello');
  session.send({ action: 'health_check', command_id: '019ab3c2-5f00-7000-8000-000000000001' });
  assert.equal((await session.next('error')).code, 'protocol_error');
  session.welcome();
  await session.settled();
});

/** Starts a link on its own, with short timings. */
function linkTo(
  url: string,
  options: {
    token?: () => Promise<string>;
    tokenRefused?: (token: string) => boolean;
    proxy?: ProxyInUse | null;
    connectMs?: number;
    welcomeMs?: number;
  } = {},
) {
  const lines: string[] = [];
  const link = new ServerLink({
    clientId: 'restaurant-1',
    serverUrl: new URL(url),
    token: options.token ?? (() => Promise.resolve('token')),
    tokenRefused: options.tokenRefused ?? (() => false),
    proxy: options.proxy ?? null,
    clientCertificate: null,
    hello: () => ({
      status: 'hello',
      agent_version: '1',
      platform: { os: 'linux', arch: 'x64' },
      limits: { max_uploads: 1, parallel_parts: 1 },
    }),
    onMessage: () => {},
    onInvalidMessage: () => {},
    connectionTimings: {
      handshakeMs: 1000,
      connectMs: options.connectMs ?? 1000,
      welcomeMs: options.welcomeMs ?? 1000,
      closeMs: 100,
    },
    reconnectTimings: { backoff: { baseMs: 5, capMs: 10 }, stableMs: 1000, slowMs: 10 },
    now: () => performance.now(),
    random: Math.random,
    log: createLog({ level: 'debug', format: 'json', write: (line) => lines.push(line) }),
  });
  const stop = new AbortController();
  const running = link.run({ signal: stop.signal });
  return {
    link,
    lines,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await within(2000, 'the link to stop', running);
    },
  };
}

test('a missing welcome ends the connection after its timeout', async () => {
  await using server = await FakeServer.start();
  await using running = linkTo(server.url, { welcomeMs: 30 });
  await server.accept();
  await server.accept();
  assert.ok(running.lines.some((line) => line.includes('no welcome')));
});

test('a TLS handshake that hangs behind a proxy times out', async () => {
  const tunnels: Socket[] = [];
  const proxy = createServer((socket) => {
    tunnels.push(socket);
    socket.on('error', () => {}).once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const HTTPS_PROXY = `http://127.0.0.1:${port}`;
  const url = 'wss://backhaul.example';
  const used = proxyFor(new URL(url), { ...noProxies, HTTPS_PROXY });
  {
    await using running = linkTo(url, { proxy: used, connectMs: 100 });
    await within(5000, 'the next try', once(proxy, 'connection'));
    await within(5000, 'the next try', once(proxy, 'connection'));
    assert.ok(running.lines.some((line) => line.includes('ETIMEDOUT')));
  }
  for (const socket of tunnels) socket.destroy();
  proxy.close();
});

test('the connection to a silent server is closed after dead_after_ms', async () => {
  await using server = await FakeServer.start();
  await using running = linkTo(server.url);
  const session = await server.accept();
  session.socket.pause(); // Neither reads nor responds to pings.
  session.send({
    action: 'welcome',
    server_version: 'fake',
    session_id: '019ab3c2-5f00-7000-8000-000000000001',
    epoch: 1,
    heartbeat_interval_ms: 1000,
    dead_after_ms: 2000,
    uploads: [],
  });
  await server.accept();
  assert.ok(running.lines.some((line) => line.includes('no data received')));
});

test('the connection to a server that does not read is closed before unsent data fills the memory', async () => {
  await using server = await FakeServer.start();
  await using running = linkTo(server.url);
  const session = await server.accept();
  session.welcome();
  while (!running.link.connected) await delay(5);
  session.socket.pause();
  const command_id = '019ab3c2-5f00-7000-8000-000000000001';
  const result = { status: 'result', command_id, ok: true, data: { text: 'x'.repeat(1_000_000) } } as const;
  const sent = Array.from({ length: 64 }, () => running.link.send(result));
  assert.ok(sent.indexOf(false) >= 8, 'several megabytes may be unsent');
  await server.accept();
  assert.ok(running.lines.some((line) => line.includes('does not read')));
});

test('pings are sent at the interval of the welcome message', async () => {
  await using fixture = await AgentFixture.start();
  const session = await fixture.server.acceptAndWelcome();
  const ping = new Promise((resolve) => session.socket.once('ping', resolve));
  await within(3000, 'a ping', ping);
});

test('the agent retries until the server is up', async () => {
  const port = await freePort();
  await using running = linkTo(`ws://127.0.0.1:${port}`);
  while (running.lines.length < 3) await delay(5);
  assert.ok(running.lines.every((line) => line.includes('cannot be reached')));
});

async function freePort(): Promise<string> {
  await using server = await FakeServer.start();
  return new URL(server.url).port;
}

test('a rejected token is logged, and a replaced token file is used', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-token-'));
  const file = join(directory, 'token');
  await writeFile(file, 'old-token\n');
  const rejections: string[] = [];
  await using server = await FakeServer.start({
    refuse: ({ headers }) => {
      if (headers.authorization === 'Bearer new-token') return null;
      rejections.push(headers.authorization ?? '');
      return { status: 401 };
    },
  });
  const token = tokenSource({ kind: 'file', path: file }, { clientId: 'x', wallSeconds: () => 0 });
  await using running = linkTo(server.url, { token });
  while (rejections.length < 2) await delay(5);
  await writeFile(file, 'new-token\n');
  await server.accept();
  assert.ok(running.lines.some((line) => line.includes('--token-file') && line.includes('401')));
  assert.ok(!running.lines.some((line) => line.includes('old-token')));
  await rm(directory, { recursive: true });
});

test('the log contains the reason for a rejected token and the fix', async () => {
  const detail = 'The token expired on 2026-12-01T00:00:00.000Z.';
  await using server = await FakeServer.start({
    refuse: () => ({
      status: 401,
      problem: { type: 'x', title: 'x', status: 401, code: 'of_the_future', detail, reason: 'token_expired' },
    }),
  });
  await using running = linkTo(server.url);
  while (running.lines.length === 0) await delay(5);
  const line = JSON.parse(running.lines[0] ?? '') as { msg: string; detail: string };
  assert.equal(line.msg, 'not connected');
  assert.match(line.detail, /The token expired on 2026-12-01T00:00:00\.000Z; ask an operator for a new one/);
  assert.match(line.detail, /backhaul token agent --client-id restaurant-1\)/);
});

test('after a rejected token the other one is tried soon, with a log line; not if the client is blocked', async () => {
  let status = 403;
  await using server = await FakeServer.start({
    refuse: ({ headers }) => (headers.authorization === 'Bearer second' ? null : { status }),
  });
  const rejected: string[] = [];
  await using running = linkTo(server.url, {
    token: async () => (rejected.length === 0 ? 'first' : 'second'),
    tokenRefused: (token) => rejected.push(token) > 0,
  });
  while (running.lines.length < 2) await delay(5);
  assert.deepEqual(rejected, [], '403 is not about the token');
  status = 401;
  await server.accept();
  assert.deepEqual(rejected, ['first']);
  assert.match(
    running.lines.at(-1) ?? '',
    /HTTP 401\); trying the other token \(--token-file or state directory\)/,
  );
  const end: ConnectionEnd = {
    kind: 'refused',
    status,
    retryAfterMs: null,
    problem: null,
    hasOtherToken: true,
  };
  assert.ok(planReconnect(end, 0, middle).waitMs <= 1000);
});

test('a rejection without a valid problem document is handled, too', async () => {
  await using server = await FakeServer.start({
    refuse: () => ({ status: 403, problem: { detail: 'x'.repeat(20_000) } }),
  });
  await using running = linkTo(server.url);
  while (running.lines.length === 0) await delay(5);
  assert.match(running.lines[0] ?? '', /the server rejected the token \(HTTP 403\)/);
});

test('the log says that another agent uses the same client_id', async () => {
  await using server = await FakeServer.start();
  await using running = linkTo(server.url);
  const session = await server.accept();
  session.welcome();
  session.socket.close(closeCodes.replaced);
  await server.accept();
  assert.ok(running.lines.some((line) => line.includes('same client_id')));
});

test('a token for another client_id is logged', async () => {
  await using server = await FakeServer.start();
  const tokenFor = (sub: string) =>
    `e30.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.signature`;
  await using other = linkTo(server.url, { token: async () => tokenFor('restaurant-2') });
  await server.accept();
  assert.ok(other.lines.some((line) => line.includes('another client_id') && line.includes('restaurant-2')));
  await using own = linkTo(server.url, { token: async () => tokenFor('restaurant-1') });
  await server.accept();
  assert.deepEqual(own.lines, []);
});

const middle = { timings: defaultReconnectTimings, random: () => 0.5, clientId: 'restaurant-1' };

test('the backoff grows with full jitter up to its cap', () => {
  const lost: ConnectionEnd = { kind: 'unreachable', detail: 'ECONNREFUSED', fault: null };
  const waits = [0, 1, 2, 10, 100].map((failures) => planReconnect(lost, failures, middle).waitMs);
  assert.deepEqual(waits, [500, 1000, 2000, 15_000, 15_000]);
  assert.equal(planReconnect(lost, 5, { ...middle, random: () => 0 }).waitMs, 0, 'full jitter');
});

test('503 and 429 wait at least Retry-After; errors that a person has to fix are retried slowly', () => {
  for (const status of [503, 429]) {
    const end: ConnectionEnd = { kind: 'refused', status, retryAfterMs: 20_000, problem: null };
    assert.ok(planReconnect(end, 0, { ...middle, random: () => 0 }).waitMs >= 20_000);
  }
  const forever: ConnectionEnd = { kind: 'refused', status: 503, retryAfterMs: 1e12, problem: null };
  assert.ok(planReconnect(forever, 0, middle).waitMs < 800_000);
  for (const status of [400, 401, 404, 407, 426]) {
    const rejected: ConnectionEnd = { kind: 'refused', status, retryAfterMs: null, problem: null };
    assert.ok(planReconnect(rejected, 0, { ...middle, random: () => 0 }).waitMs >= 30_000, String(status));
  }
  const replaced: ConnectionEnd = { kind: 'closed', code: closeCodes.replaced, sessionMs: 1e6 };
  assert.ok(planReconnect(replaced, 0, { ...middle, random: () => 0 }).waitMs >= 30_000);
});

test('the log contains the sentence of the server for every rejection', () => {
  const detail = 'Client till-7 may connect again in 20 s.';
  for (const status of [400, 401, 403, 404, 429, 500, 503]) {
    const rejected: ConnectionEnd = { kind: 'refused', status, retryAfterMs: null, problem: { detail } };
    assert.match(
      planReconnect(rejected, 0, middle).advice,
      /Client till-7 may connect again in 20 s/,
      `${status}`,
    );
  }
  const long: ConnectionEnd = {
    ...{ kind: 'refused', status: 503, retryAfterMs: null },
    problem: { detail: 'x'.repeat(20_000) },
  };
  assert.ok(planReconnect(long, 0, middle).advice.length < 400);
});

test('a proxy that drops the upgrade is reported with the missing settings', () => {
  const rejected: ConnectionEnd = { kind: 'refused', status: 426, retryAfterMs: null, problem: null };
  assert.match(planReconnect(rejected, 0, middle).advice, /proxy_set_header Upgrade \$http_upgrade/);
});
