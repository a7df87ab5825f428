import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import http, { type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Program } from '../harness/program.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';
import { TokenSigner } from '../harness/tokens.ts';
import { HostileServer } from './hostile-server.ts';

/** Addresses to which the attacker's names resolve. */
const names: Record<string, readonly string[]> = {
  'server.test': ['127.0.0.1'],
  'loopback.test': ['127.0.0.1'],
  'loopback6.test': ['::1'],
  'any.test': ['0.0.0.0'],
  'site.test': ['10.0.0.5'],
  'site172.test': ['172.20.1.1'],
  'site192.test': ['192.168.1.1'],
  'cgnat.test': ['100.64.7.7'],
  'ula.test': ['fd12:3456::1'],
  'mapped.test': ['::ffff:10.0.0.5'],
  'nat64.test': ['64:ff9b::10.0.0.5'],
  'nat64-local.test': ['64:ff9b:1::10.0.0.5'],
  'sixtofour.test': ['2002:a00:5::1'],
  'teredo.test': ['2001:0:a00:5::1'],
  'isatap.test': ['2a00:1450::5efe:10.0.0.5'],
  'multicast.test': ['224.0.0.251'],
  'mixed.test': ['52.219.170.1', '192.168.1.1'],
  'metadata.test': ['169.254.169.254'],
  'metadata6.test': ['fd20:ce::254'],
  'azure.test': ['168.63.129.16'],
  'zone.test': ['fe80::1%lo'],
};

const literals = [
  ...[
    '10.0.0.5',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '127.0.0.1',
    '127.1',
    '0.0.0.0',
    '0',
    '2130706433',
  ],
  ...['0x7f000001', '0177.0.0.1', '167772165', '224.0.0.1', '255.255.255.255', '198.18.0.1', 'localhost'],
  ...['169.254.169.254', '2852039166', '0xa9fea9fe', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
  ...[
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[fd00::1]',
    '[fe80::1]',
    '[fec0::1]',
    '[ff02::1]',
  ],
  ...[
    '[fd00:ec2::254]',
    '[fd20:ce::254]',
    '[::ffff:169.254.169.254]',
    '[64:ff9b::a9fe:a9fe]',
    '[64:ff9b::a00:5]',
  ],
  ...[
    '[64:ff9b:1::a00:5]',
    '[2002:a9fe:a9fe::1]',
    '[2002:a00:5::1]',
    '[2001:0:a9fe:a9fe::1]',
    '[2001:db8::1]',
  ],
  ...['[2a00:1450::5efe:a9fe:a9fe]', '[::a9fe:a9fe]', '[::ffff:0:a9fe:a9fe]', 'metadata.google.internal'],
];

const ports = ['', ':22', ':8080'];
const paths = ['/latest/api/token', '/admin?partNumber=1&X-Amz-Signature=secret'];

const headers = [
  ...[
    'Authorization',
    'Cookie',
    'X-HTTP-Method-Override',
    'Host',
    'Transfer-Encoding',
    'Connection',
    'Upgrade',
  ],
  ...[
    'Expect',
    'Proxy-Authorization',
    'Metadata-Flavor',
    'X-aws-ec2-metadata-token-ttl-seconds',
    'X-Vault-Token',
  ],
  ...[
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'Origin',
    'Referer',
    'Content-Encoding',
    'Range',
    'If-Match',
    'Accept',
  ],
  ...[
    'x-amz-acl',
    'x-amz-copy-source',
    'x-amz-security-token',
    'x-amz-meta-x',
    'x-amz-website-redirect-location',
  ],
];

test('a hostile server gets no connection to the site’s network, to this machine or to a metadata service', async (t) => {
  await using bench = await startBench([]);
  let attacks = 0;
  const attack = async (url: string, extra: Record<string, string> = {}): Promise<void> => {
    attacks += 1;
    const { status, error, message } = await bench.server.sendTo(bench.file, url, extra);
    assert.deepEqual([url, status, error], [url, 'failed', 'storage_not_allowed'], String(message));
    assert.doesNotMatch(String(message), /secret|10\.0\.0\.5:\d+ resolves/);
  };
  for (const host of [...literals, ...Object.keys(names)]) {
    for (const scheme of ['http', 'https']) {
      for (const port of ports) await attack(`${scheme}://${host}${port}${paths[attacks % paths.length]}`);
    }
  }
  for (const name of headers) await attack('https://bucket.test/key', { [name]: 'x' });
  await attack('https://user:secret@bucket.test/key');
  const tried = bench.connections().filter((address) => address !== bench.serverAddress);
  assert.equal(bench.connections().length, 1, 'the trap has seen the agent’s own connection');
  assert.deepEqual(tried, []);
  t.diagnostic(`${attacks} addresses and headers, ${tried.length} connections`);
});

test('what an allowed store answers leads nowhere else, and only what a store says is passed on', async (t) => {
  const requests: Array<{ method: string; headers: IncomingHttpHeaders }> = [];
  const trap: string[] = [];
  const listener = http.createServer((request, response) => {
    trap.push(request.url ?? '');
    response.end();
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const target = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const store = http.createServer((request, response) => {
    requests.push({ method: request.method ?? '', headers: request.headers });
    const [, what, value = ''] = (request.url ?? '').split('/');
    request.resume().on('end', () => {
      if (what === 'redirect') response.writeHead(Number(value), { location: `${target}/${value}` }).end();
      else if (what === 'refresh')
        response.writeHead(403, { refresh: `0; url=${target}` }).end('<Code>x</Code>');
      else if (what === 'etag') response.writeHead(200, { etag: '"BANNER SECRET <root>"' }).end();
      else
        response
          .writeHead(404, { etag: '"ok"' })
          .end(`<Error><Message>BANNER SECRET ${target}</Message></Error>`);
    });
  });
  await once(store.listen(0, '127.0.0.1'), 'listening');
  const origin = `http://127.0.0.1:${(store.address() as AddressInfo).port}`;
  await using bench = await startBench(['--allow-storage', origin]);

  const attacks = ['redirect/301', 'redirect/302', 'redirect/303', 'redirect/307', 'redirect/308'];
  for (const path of [...attacks, 'refresh/0', 'banner/0']) {
    const { status, error } = await bench.server.sendTo(bench.file, `${origin}/${path}`, {
      'content-type': 'a/b',
    });
    assert.deepEqual([path, status, error], [path, 'failed', 'storage_refused']);
  }
  const { status } = await bench.server.sendTo(bench.file, `${origin}/etag/0`);
  assert.equal(status, 'stalled', 'an ETag of another shape is none');
  assert.deepEqual(trap, []);
  assert.doesNotMatch(JSON.stringify(bench.server.heard), /BANNER/);
  for (const { method, headers: sent } of requests) {
    assert.equal(method, 'PUT');
    const other = Object.keys(sent).filter(
      (name) => !/^(?:host|connection|content-(?:length|type))$/.test(name),
    );
    assert.deepEqual(other, []);
  }
  const strays = bench
    .connections()
    .filter((to) => to !== bench.serverAddress && !origin.endsWith(to.replace(' ', ':')));
  assert.deepEqual(strays, []);
  t.diagnostic(`${requests.length} requests to the store, ${trap.length} elsewhere`);
  for (const server of [store, listener]) {
    server.closeAllConnections();
    server.close();
  }
});

interface Bench extends AsyncDisposable {
  readonly server: HostileServer;
  readonly serverAddress: string;
  readonly file: string;
  /** Connections in the form `address port`. */
  connections(): readonly string[];
}

/** Starts an agent whose server appears to be on another machine. */
async function startBench(args: readonly string[]): Promise<Bench> {
  await using cleanup = new AsyncDisposableStack();
  const directory: TemporaryDirectory = cleanup.use(await temporaryDirectory());
  const server = cleanup.use(await HostileServer.start());
  const file = directory.join('file.bin');
  const trapFile = directory.join('connections');
  writeFileSync(file, 'ten bytes.');
  const trap = new URL('./connection-trap.ts', import.meta.url).href;
  const agent = new Program('backhaul-agent', {
    args: [
      ...['--client-id', 'till', '--file', file, '--insecure', '--log-format', 'json', ...args],
      ...['--server-url', `ws://server.test:${server.port}`],
    ],
    env: {
      BACKHAUL_TOKEN: await new TokenSigner().agent('till'),
      NODE_OPTIONS: `--import=${trap} --disable-warning=ExperimentalWarning`,
      TRAP_FILE: trapFile,
      TRAP_NAMES: JSON.stringify(names),
    },
  });
  cleanup.use(agent);
  const owned = cleanup.move();
  return {
    server,
    serverAddress: `127.0.0.1 ${server.port}`,
    file,
    connections: () => (existsSync(trapFile) ? readFileSync(trapFile, 'utf8').trim().split('\n') : []),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
