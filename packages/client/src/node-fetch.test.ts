import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { networkReason } from './errors.ts';
import type { FetchInit } from './fetch.ts';
import { platformFetch } from './node-fetch.ts';
import { sendJson, ScriptedServer, type Handler } from '../../../test/doubles/scripted-server.ts';

const MiB = 1024 * 1024;

async function get(url: string, init: Partial<FetchInit> = {}): Promise<Response> {
  const signal = AbortSignal.timeout(20_000);
  return await platformFetch(new URL(url), { signal, redirect: 'manual', ...init });
}

/** A TCP server that handles each connection with `respond`, and lists the connections. */
async function rawServer(respond: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    socket.once('data', () => respond(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a response whose connection the peer closes', () => {
  const body = Buffer.alloc(2 * MiB, 'x');
  const length = `content-length: ${body.length}\r\n`;
  const framings = {
    'with announcement': `${length}connection: close\r\n`,
    'without announcement': length,
    'instead of a length': '',
  };
  for (const [how, headers] of Object.entries(framings)) {
    test(`${how} reaches a slow reader completely`, async () => {
      await using server = await rawServer((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${headers}\r\n`);
        socket.end(body);
      });
      const response = await get(server.url);
      let bytes = 0;
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        await pause(1);
      }
      assert.equal(bytes, body.length);
    });
  }

  test('before its end is a network error, never a shorter body', async () => {
    for (const cut of [
      `HTTP/1.1 200 OK\r\n${length}\r\nxyz`,
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nxyz\r\n',
    ]) {
      await using server = await rawServer((socket) => socket.end(cut));
      const response = await get(server.url);
      await assert.rejects(response.text(), (error) => networkReason(error) === 'ECONNRESET');
    }
  });

  test('while it is not read can be read later', async () => {
    await using server = await rawServer((socket) => {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello');
    });
    const response = await get(server.url);
    await once(server.sockets[0] as Socket, 'close');
    assert.equal(await response.text(), 'hello');
  });
});

describe('a connection', () => {
  test('is reused for the next request after the response was read or cancelled', async () => {
    const sockets = new Set<unknown>();
    await using server = await ScriptedServer.start((request, response) => {
      sockets.add(request.socket);
      if (request.url === '/none') response.writeHead(204).end();
      else sendJson(response, 200, {});
    });
    // Node.js frees a socket in a separate turn of the event loop.
    await (await get(`${server.url}/`)).json();
    await turn();
    await (await get(`${server.url}/`)).body?.cancel();
    await turn();
    assert.equal((await get(`${server.url}/none`)).body, null);
    await turn();
    await (await get(`${server.url}/`)).json();
    assert.equal(sockets.size, 1);
  });

  test('that was kept alive and then closed makes a GET retry and a POST fail', async () => {
    const stale: Handler = (request, response) => {
      if (request.url === '/stale') request.socket.destroy();
      else sendJson(response, 200, {});
    };
    await using server = await ScriptedServer.start(stale);
    const requests = (path: string) => server.requests.filter(({ url }) => url === path).length;
    await (await get(`${server.url}/`)).json();
    await turn();
    await assert.rejects(get(`${server.url}/stale`), TypeError);
    assert.equal(requests('/stale'), 2, 'once on the kept connection, once on a new one');
    await (await get(`${server.url}/`)).json();
    await turn();
    await assert.rejects(get(`${server.url}/stale`, { method: 'POST' }), TypeError);
    assert.equal(requests('/stale'), 3);
  });

  test('is closed at once when its signal aborts or its reader cancels', async () => {
    const reason = new Error('enough');
    for (const leave of ['before the response', 'before reading', 'while reading', 'by cancel'] as const) {
      await using server = await rawServer((socket) => {
        if (leave === 'before the response') stop.abort(reason);
        else socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MiB}\r\n\r\nhello`);
      });
      const stop = new AbortController();
      const asking = get(server.url, { signal: stop.signal });
      if (leave === 'before the response') await assert.rejects(asking, reason);
      else {
        const reader = (await asking).body?.getReader();
        if (leave === 'while reading') await reader?.read();
        const next = leave === 'while reading' ? reader?.read() : undefined;
        if (leave === 'by cancel') await reader?.cancel();
        else {
          stop.abort(reason);
          await assert.rejects(next ?? (reader?.read() as Promise<unknown>), reason);
        }
      }
      const [socket] = server.sockets;
      if (socket?.closed === false) await once(socket, 'close');
    }
  });

  test('that is refused has the error code of the system, by address and by name', async () => {
    const { port } = await (async () => {
      await using server = await ScriptedServer.start(() => undefined);
      return new URL(server.url);
    })();
    for (const host of ['127.0.0.1', 'localhost']) {
      await assert.rejects(
        get(`http://${host}:${port}/`),
        (error) => networkReason(error) === 'ECONNREFUSED',
      );
    }
    await assert.rejects(get('ftp://localhost/'), (error) => networkReason(error) === 'unknown scheme');
  });

  test('to localhost reaches a server that listens only on IPv4', async () => {
    await using server = await ScriptedServer.start((_, response) => sendJson(response, 200, {}));
    const { port } = new URL(server.url);
    assert.equal((await get(`http://localhost:${port}/`)).status, 200);
  });
});

test('a redirect is returned like other responses, and repeated headers are joined', async () => {
  await using server = await ScriptedServer.start((_, response) => {
    response.writeHead(302, { location: '/elsewhere', 'x-twice': ['a', 'b'] }).end();
  });
  const response = await get(server.url, { headers: { authorization: 'Bearer x' } });
  assert.equal(response.status, 302);
  assert.equal(response.headers.get('location'), '/elsewhere');
  assert.equal(response.headers.get('x-twice'), 'a, b');
  assert.equal(server.requests.length, 1);
  assert.equal(server.requests[0]?.headers['accept-encoding'], 'identity');
});

test(
  'HTTPS checks the certificate, supports NODE_EXTRA_CA_CERTS, and a kept-alive connection does not delay the exit',
  { timeout: 120_000 },
  async (t) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'backhaul-fetch-'));
    t.after(() => rm(directory, { recursive: true }));
    const [key, cert] = [path.join(directory, 'key.pem'), path.join(directory, 'cert.pem')];
    await promisify(execFile)('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', key, '-out', cert, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
    ]);
    const server = createHttpsServer(
      { key: await readFile(key), cert: await readFile(cert) },
      (_, response) => {
        response.end('hello');
      },
    );
    // Longer than the timeout of the test, so that a delayed exit would fail it.
    server.keepAliveTimeout = 600_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    await assert.rejects(get(url), (error) => networkReason(error) === 'DEPTH_ZERO_SELF_SIGNED_CERT');

    const program = `
    import https from 'node:https';
    https.globalAgent.options.timeout = 600_000;
    import { platformFetch } from ${JSON.stringify(import.meta.resolve('./node-fetch.ts'))};
    const signal = AbortSignal.timeout(60_000);
    const response = await platformFetch(new URL(${JSON.stringify(url)}), { redirect: 'manual', signal });
    console.log(await response.text());`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      env: { NODE_EXTRA_CA_CERTS: cert },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill());
    const ended = once(child, 'exit');
    assert.equal(await text(child.stdout), 'hello\n');
    assert.deepEqual(await ended, [0, null]);
  },
);
