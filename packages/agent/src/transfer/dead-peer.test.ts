import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import tls from 'node:tls';
import { noProxies } from '@backhaul/program';
import { defaultConnectionTimings } from '../connection/server-connection.ts';
import { localhostCertificate } from '../../../../test/harness/agent/localhost-certificate.ts';
import { StoragePolicy } from '../policy/storage-policy.ts';
import { PartParallelism } from './part-parallelism.ts';
import { PartsInFlight } from './progress.ts';
import { putPart, type PutResult } from './put-part.ts';
import { ResponseTimeout } from './put-timeouts.ts';
import { StorageClient } from './storage-client.ts';
import { defaultTimings } from './transfer-deps.ts';

const MiB = 1024 * 1024;
const STALL_MS = 300;
/** Twice the longest timeout below, plus time for a busy machine. */
const NOTICED_MS = 2 * 600 + 2000;

tls.setDefaultCACertificates([localhostCertificate.cert]);

/** Phases in which the peer can become silent while it keeps the connection open. */
const deaths: ReadonlyArray<{
  readonly at: string;
  readonly url: (port: number) => string;
  readonly peer?: (socket: Socket) => void;
  readonly secure?: boolean;
  readonly proxied?: boolean;
  readonly sizeBytes?: number;
}> = [
  { at: 'the DNS lookup', url: (port) => `http://localhost:${port}` },
  { at: 'the TLS handshake', url: (port) => `https://127.0.0.1:${port}`, peer: (socket) => socket.resume() },
  { at: 'the body', url: (port) => `http://127.0.0.1:${port}` },
  { at: 'the body, with TLS', url: (port) => `https://127.0.0.1:${port}`, secure: true },
  {
    at: 'the response',
    url: (port) => `http://127.0.0.1:${port}`,
    peer: (socket) => socket.resume(),
    sizeBytes: MiB,
  },
  {
    at: 'the response, with TLS',
    url: (port) => `https://127.0.0.1:${port}`,
    peer: (socket) => socket.resume(),
    secure: true,
    sizeBytes: MiB,
  },
  {
    at: 'the response to an empty body',
    url: (port) => `http://127.0.0.1:${port}`,
    peer: (socket) => socket.resume(),
    sizeBytes: 0,
  },
  {
    at: 'the body of the response',
    url: (port) => `http://127.0.0.1:${port}`,
    peer: (socket) => socket.resume().write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'),
    sizeBytes: MiB,
  },
  {
    at: 'the CONNECT to a proxy',
    url: () => 'https://store.example',
    proxied: true,
    peer: (socket) => socket.resume(),
  },
  {
    at: 'the TLS handshake behind a proxy',
    url: () => 'https://store.example',
    proxied: true,
    peer: (socket) => socket.once('data', () => socket.resume().write('HTTP/1.1 200 OK\r\n\r\n')),
  },
];

describe('a store that becomes silent is detected during', { concurrency: true }, () => {
  for (const {
    at,
    url,
    peer = (socket: Socket) => socket.pause(),
    secure,
    proxied,
    sizeBytes = 32 * MiB,
  } of deaths) {
    test(at, async () => {
      const accept = (socket: Socket): void => {
        after(() => void socket.destroy());
        peer(socket.on('error', () => undefined));
      };
      const server = secure === true ? tls.createServer(localhostCertificate, accept) : createServer(accept);
      const port = await listen(server);
      const policy = new StoragePolicy({
        origins: [],
        serverIsLocal: true,
        // Only names are looked up.
        resolve: () => undefined,
      });
      const HTTPS_PROXY = proxied === true ? `http://127.0.0.1:${port}` : null;
      using storage = new StorageClient(policy, { ...noProxies, HTTPS_PROXY });
      const result = await put(storage, new URL(url(port)), sizeBytes);
      server.close();
      assert.ok(!result.ok && result.failure.act === 'retry', JSON.stringify(result));
      assert.match(result.failure.detail, /ETIMEDOUT|ECONNRESET|ERR_PROXY_TUNNEL/);
    });
  }
});

test('once a connection has become silent, idle connections are closed instead of tried one by one', async () => {
  const stopped = new Set<Socket>();
  const server = http.createServer((request, response) => {
    if (stopped.has(request.socket)) return;
    request.resume().on('end', () => response.writeHead(200, { etag: '"part"' }).end());
  });
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  const port = await listen(server);
  using storage = new StorageClient(new StoragePolicy({ origins: [], serverIsLocal: true }), noProxies);
  const url = new URL(`http://127.0.0.1:${port}`);
  const kept = () => put(storage, url, MiB, { fresh: false });
  await Promise.all([kept(), kept(), kept()]);
  assert.equal(sockets.length, 3);
  for (const socket of sockets) stopped.add(socket);
  assert.equal((await kept()).ok, false);
  assert.equal((await kept()).ok, true);
  assert.equal(sockets.length, 4);
  server.closeAllConnections();
  server.close();
});

test('the default timeouts detect a dead peer within a minute', () => {
  const { connectMs, stallMs, responseMs } = defaultTimings;
  assert.ok(connectMs < 60_000);
  assert.ok(2 * stallMs < 60_000, 'Node may count the first one as progress');
  assert.ok(responseMs < 60_000);
  assert.ok(defaultConnectionTimings.connectMs < 60_000);
});

test('a PUT that has no connection yet can be aborted', async () => {
  const server = createServer((socket) => {
    after(() => void socket.destroy());
    socket.on('error', () => undefined).once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
  });
  const stop = new AbortController();
  const port = await listen(server);
  using storage = new StorageClient(new StoragePolicy({ origins: [], serverIsLocal: true }), {
    ...noProxies,
    HTTPS_PROXY: `http://127.0.0.1:${port}`,
  });
  const aborted = put(storage, new URL('https://store.example'), MiB, {
    signal: stop.signal,
    connectMs: 60_000,
  });
  await once(server, 'connection');
  stop.abort(new Error('cancelled'));
  await assert.rejects(aborted, /cancelled/);
  server.close();
});

async function put(
  storage: StorageClient,
  url: URL,
  length: number,
  { signal = AbortSignal.timeout(NOTICED_MS), connectMs = 600, fresh = true } = {},
): Promise<PutResult> {
  const deps = untoldLine();
  const slot = deps.parallelism.admit(length) ?? assert.fail('it has to wait');
  return await putPart(
    { url, headers: {}, length, body: zeros(length), slot, fresh },
    {
      storage,
      rateLimit: null,
      timings: { connectMs, stallMs: STALL_MS },
      responseTimeout: new ResponseTimeout({ firstMs: 500, maxMs: 5000 }),
      ...deps,
      inFlight: new PartsInFlight(),
    },
    { signal },
  );
}

async function* zeros(length: number): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < length; at += MiB) yield Buffer.alloc(Math.min(MiB, length - at));
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function untoldLine() {
  const now = () => performance.now();
  return {
    ...{ parallelism: new PartParallelism({ ceiling: 4, now }), now },
    sendQueues: () => Promise.resolve(null),
  };
}
