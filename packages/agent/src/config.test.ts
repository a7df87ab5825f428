import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { type AgentConfig, readConfig, UsageError } from './config.ts';

const needed = [
  '--client-id',
  'restaurant-1',
  '--server-url',
  'ws://localhost:8080',
  '--token',
  'abc.def.ghi',
];

interface In {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

function config(argv: string[], { env = {}, cwd = '/work dir' }: In = {}): AgentConfig {
  const invocation = readConfig(argv, { env, cwd, terminal: false });
  assert.ok(invocation.kind === 'run');
  return invocation.config;
}

function mistake(argv: string[], options: In = {}): string {
  try {
    config(argv, options);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  return assert.fail(`${argv.join(' ')} was accepted`);
}

test('the smallest command line works, with its defaults', () => {
  const { token, serverUrl, ...rest } = config(needed);
  assert.equal(serverUrl.href, 'ws://localhost:8080/');
  assert.deepEqual(token, { kind: 'given', token: 'abc.def.ghi' });
  assert.deepEqual(rest, {
    clientId: 'restaurant-1',
    file: null,
    allow: [],
    storageOrigins: [],
    maxUploads: 2,
    parallelParts: 4,
    maxRate: null,
    maxFileSize: null,
    sha256: true,
    labels: {},
    logLevel: 'info',
    logFormat: 'json',
    proxy: null,
  });
});

test('relative paths are resolved at start', () => {
  const { file, allow } = config([
    ...needed,
    '--file',
    'report.bin',
    '--allow',
    '../data',
    '--allow',
    '/srv/',
  ]);
  assert.equal(file, '/work dir/report.bin');
  assert.deepEqual(allow, ['/data', '/srv']);
});

test('address and token come from the environment, and flags win', () => {
  const env = { BACKHAUL_URL: 'https://backhaul.example.com', BACKHAUL_TOKEN: 'from.env' };
  const fromEnv = config(['--client-id', 'a'], { env });
  assert.equal(fromEnv.serverUrl.href, 'wss://backhaul.example.com/');
  assert.deepEqual(fromEnv.token, { kind: 'given', token: 'from.env' });
  const fromFlags = config(['--client-id', 'a', '--token-file', 't', '--server-url', 'ws://127.0.0.1:1'], {
    env,
  });
  assert.deepEqual(fromFlags.token, { kind: 'file', path: '/work dir/t' });
  assert.equal(fromFlags.serverUrl.host, '127.0.0.1:1');
});

test('a mistake names its flag', () => {
  const cases: Array<[string[], RegExp]> = [
    [['--client-id'], /--client-id/],
    [needed.slice(2), /--client-id is missing/],
    [[...needed, '--client-id', 'with space'], /--client-id/],
    [[...needed, '--clientid', 'x'], /--clientid/],
    [[...needed, 'positional'], /positional/],
    [[...needed, '--max-rate', '10M'], /--max-rate .*whole number/],
    [[...needed, '--max-uploads', '0'], /--max-uploads .*1 to 64/],
    [[...needed, '--parallel-parts', '65'], /--parallel-parts/],
    [[...needed, '--max-file-size', '-1'], /--max-file-size/],
    [[...needed, '--label', 'nokey'], /--label/],
    [[...needed, '--label', 'bad key=x'], /--label/],
    [[...needed, '--log-level', 'loud'], /--log-level .*debug/],
    [[...needed, '--log-format', 'xml'], /--log-format/],
    [[...needed, '--allow-storage', 'bucket.example.com'], /--allow-storage/],
    [[...needed, '--allow-storage', 'https://bucket.example.com/prefix'], /--allow-storage/],
    [[...needed, '--token-file', 'x'], /--token .*--token-file/],
    [[...needed, '--token', 'line\nbreak'], /--token/],
    [[...needed, '--server-url', 'localhost:8080'], /--server-url/],
    [[...needed, '--server-url', 'ftp://x'], /--server-url/],
    [[...needed, '--server-url', 'wss://user:pw@x'], /--server-url/],
    [[...needed, '--allow', ''], /--allow/],
  ];
  for (const [argv, expected] of cases) assert.match(mistake(argv), expected);
});

test('ws:// to another machine needs --insecure', () => {
  const away = [...needed, '--server-url', 'ws://10.0.0.1:8080'];
  assert.match(mistake(away), /--insecure/);
  assert.equal(config([...away, '--insecure']).serverUrl.host, '10.0.0.1:8080');
  for (const url of ['ws://127.0.0.1:1', 'ws://[::1]:1', 'ws://localhost', 'wss://example.com']) {
    config([...needed, '--server-url', url]);
  }
});

test('a proxy is used for encrypted connections; ws:// through one is refused', () => {
  const env = { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: '.internal,10.0.0.1' };
  assert.deepEqual(config(needed, { env }).proxy, {
    HTTPS_PROXY: 'http://proxy:3128',
    NO_PROXY: '.internal,10.0.0.1',
  });
  for (const wrong of ['proxy.corp:3128', 'socks5://proxy:1080', 'proxy']) {
    assert.match(mistake(needed, { env: { HTTPS_PROXY: wrong } }), /HTTPS_PROXY .*http:\/\//);
  }
  const plain = { HTTP_PROXY: 'http://proxy:3128', NO_PROXY: '.internal' };
  const away = (url: string) => [...needed, '--insecure', '--server-url', url];
  assert.match(mistake(away('ws://server.example'), { env: plain }), /HTTP_PROXY/);
  config(away('ws://server.internal'), { env: plain });
  config(needed, { env: plain });
});

test('without a token, the file of a server in --dev mode serves', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  const write = (fields: object) =>
    writeFile(
      join(cwd, '.backhaul/dev.json'),
      JSON.stringify({
        server_url: 'http://127.0.0.1:8080',
        operator_token: 'o',
        jwt_secret: 's',
        pid: 1,
        ...fields,
      }),
      { mode: 0o600 },
    );
  const argv = ['--client-id', 'a'];
  try {
    assert.match(mistake(argv, { cwd }), /--token-file.*--dev/s);
    await mkdir(join(cwd, '.backhaul'), { mode: 0o700 });
    await write({});
    const found = config(argv, { cwd });
    assert.deepEqual(found.token, { kind: 'dev_file', path: join(cwd, '.backhaul/dev.json') });
    assert.equal(found.serverUrl.href, 'ws://127.0.0.1:8080/');
    assert.equal(
      config([...argv, '--server-url', 'ws://localhost:8080'], { cwd }).serverUrl.hostname,
      'localhost',
    );
    assert.match(mistake([...argv, '--server-url', 'ws://localhost:8081'], { cwd }), /--server-url/);
    assert.match(mistake([...argv, '--server-url', 'wss://example.com:8080'], { cwd }), /--server-url/);
    await write({ server_url: 'http://10.0.0.1:8080' });
    assert.match(mistake(argv, { cwd }), /another machine/);
    await write({ jwt_secret: 5 });
    assert.match(mistake(argv, { cwd }), /jwt_secret/);
    assert.match(
      mistake(argv, { cwd: `${cwd}/none`, env: { BACKHAUL_URL: 'ws://localhost:1' } }),
      /No token/,
    );
  } finally {
    await rm(cwd, { recursive: true });
  }
});
