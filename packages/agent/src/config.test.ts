import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { noProxies } from '@backhaul/program';
import { type AgentConfig, readConfig } from './config.ts';
import { UsageError } from './flags.ts';

const withoutUrl = ['--client-id', 'restaurant-1', '--token', 'abc.def.ghi'];
const needed = [...withoutUrl, '--server-url', 'ws://localhost:8080'];

interface TestEnv {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly os?: NodeJS.Platform;
}

function config(argv: string[], { env = {}, cwd = '/work dir', os = 'linux' }: TestEnv = {}): AgentConfig {
  const invocation = readConfig(argv, { env, cwd, terminal: false, os });
  assert.ok(invocation.kind === 'run');
  return invocation.config;
}

function usageError(argv: string[], options: TestEnv = {}): string {
  try {
    config(argv, options);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  return assert.fail(`${argv.join(' ')} was accepted`);
}

test('the minimal command line works and uses the defaults', () => {
  const { token, serverUrl, ...rest } = config(needed);
  assert.equal(serverUrl.href, 'ws://localhost:8080/');
  assert.deepEqual(token, { kind: 'given', token: 'abc.def.ghi' });
  assert.deepEqual(rest, {
    clientId: 'restaurant-1',
    files: [],
    allow: [],
    allowHardLinks: false,
    stateDirectory: null,
    credentialsDirectory: null,
    storageOrigins: [],
    caFiles: [],
    clientCertificate: null,
    maxUploads: 2,
    parallelParts: 8,
    maxRate: null,
    maxFileSize: null,
    sha256: true,
    labels: {},
    logLevel: 'info',
    logFormat: 'json',
    logToJournal: false,
    proxies: noProxies,
    poolThreads: 4,
  });
});

test('--roots-are-private is required where the system cannot prove what was opened', () => {
  for (const os of ['win32', 'freebsd', 'aix'] as const) {
    assert.match(usageError(needed, { os }), /--roots-are-private/);
    config([...needed, '--roots-are-private'], { os });
  }
  for (const os of ['linux', 'darwin'] as const) {
    assert.match(usageError([...needed, '--roots-are-private'], { os }), /remove this flag/);
    config(needed, { os });
  }
});

test('--allow-hard-links is refused on systems without file owners', () => {
  assert.equal(config([...needed, '--allow-hard-links']).allowHardLinks, true);
  const onWindows = [...needed, '--roots-are-private', '--allow-hard-links'];
  assert.match(usageError(onWindows, { os: 'win32' }), /--allow-hard-links: remove this flag/);
});

test('a client certificate requires its key and vice versa', () => {
  const files = config([
    ...needed,
    '--client-cert',
    'till.crt',
    '--client-key',
    '/etc/till.key',
    '--ca-file',
    'ca.crt',
  ]);
  assert.deepEqual(files.clientCertificate, { certFile: '/work dir/till.crt', keyFile: '/etc/till.key' });
  assert.deepEqual(files.caFiles, ['/work dir/ca.crt']);
  assert.match(usageError([...needed, '--client-cert', 'till.crt']), /--client-cert requires --client-key/);
  assert.match(usageError([...needed, '--client-key', 'till.key']), /--client-key requires --client-cert/);
});

test("systemd's credentials directory is read from the environment", () => {
  const env = { CREDENTIALS_DIRECTORY: '/run/credentials/backhaul-agent.service' };
  assert.equal(config(needed, { env }).credentialsDirectory, env.CREDENTIALS_DIRECTORY);
});

test('relative paths are resolved at startup', () => {
  const { files, allow } = config([
    ...needed,
    '--file',
    'report.bin',
    '--file',
    '/data/day.log',
    '--allow',
    '../data',
    '--allow',
    '/srv/',
  ]);
  assert.deepEqual(files, ['/work dir/report.bin', '/data/day.log']);
  assert.deepEqual(allow, ['/data', '/srv']);
});

test('address and token are read from the environment; flags take precedence', () => {
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

test('a usage error names its flag', () => {
  const cases: Array<[string[], RegExp]> = [
    [['--client-id'], /--client-id/],
    [needed.slice(2), /--client-id is required/],
    [[...needed, '--client-id', 'with space'], /--client-id/],
    [[...needed, '--clientid', 'x'], /--clientid/],
    [[...needed, 'positional'], /positional/],
    [[...needed, '--max-rate', '08:00,fast'], /--max-rate: .*08:00,fast.* timetable/],
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
    [[...needed.with(3, 'line\nbreak')], /--token is not a valid token/],
    [[...withoutUrl, '--server-url', 'localhost:8080'], /--server-url must/],
    [[...withoutUrl, '--server-url', 'ftp://x'], /--server-url must/],
    [[...withoutUrl, '--server-url', 'wss://user:pw@x'], /--server-url must/],
    [[...needed, '--allow', ''], /--allow/],
  ];
  for (const [argv, expected] of cases) assert.match(usageError(argv), expected);
});

test('ws:// to another machine needs --insecure', () => {
  const away = [...withoutUrl, '--server-url', 'ws://10.0.0.1:8080'];
  assert.match(usageError(away), /--insecure/);
  assert.equal(config([...away, '--insecure']).serverUrl.host, '10.0.0.1:8080');
  for (const url of ['ws://127.0.0.1:1', 'ws://[::1]:1', 'ws://localhost', 'wss://example.com']) {
    config([...withoutUrl, '--server-url', url]);
  }
});

test('a proxy is used for encrypted connections; ws:// through one is refused', () => {
  const env = { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: '.internal,10.0.0.1' };
  assert.deepEqual(config(needed, { env }).proxies, { ...env, HTTP_PROXY: null });
  for (const wrong of ['socks5://proxy:1080', 'proxy:port']) {
    assert.match(usageError(needed, { env: { HTTPS_PROXY: wrong } }), /HTTPS_PROXY .*http:\/\//);
  }
  const plain = { HTTP_PROXY: 'http://proxy:3128', NO_PROXY: '.internal' };
  const away = (url: string) => [...withoutUrl, '--insecure', '--server-url', url];
  assert.match(usageError(away('ws://server.example'), { env: plain }), /HTTP_PROXY/);
  config(away('ws://server.internal'), { env: plain });
  config(needed, { env: plain });
});

test('a proxy without a scheme uses http, and an invalid HTTP_PROXY does not prevent the start', () => {
  const short = { HTTPS_PROXY: 'proxy:3128', HTTP_PROXY: 'proxy:3128' };
  const wss = [...withoutUrl, '--server-url', 'wss://server.example'];
  assert.deepEqual(config(wss, { env: short }).proxies, {
    HTTPS_PROXY: 'http://proxy:3128',
    HTTP_PROXY: 'http://proxy:3128',
    NO_PROXY: '',
  });
  config(wss, { env: { HTTP_PROXY: 'socks5://proxy:1080' } });
});

test('the state directory is set by systemd; the flag takes precedence', () => {
  const inUnit = { env: { STATE_DIRECTORY: '/var/lib/backhaul-agent:/var/lib/other' } };
  assert.equal(config(needed, inUnit).stateDirectory, '/var/lib/backhaul-agent');
  assert.equal(config([...needed, '--state-directory', 'state'], inUnit).stateDirectory, '/work dir/state');
  assert.match(usageError([...needed, '--state-directory', '']), /--state-directory requires a path/);
});

test('without a token, the dev.json of a server in --dev mode is used', async () => {
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
    assert.match(usageError(argv, { cwd }), /--token-file.*--dev/s);
    await mkdir(join(cwd, '.backhaul'), { mode: 0o700 });
    await write({});
    const found = config(argv, { cwd });
    assert.deepEqual(found.token, { kind: 'dev_file', path: join(cwd, '.backhaul/dev.json') });
    assert.equal(found.serverUrl.href, 'ws://127.0.0.1:8080/');
    assert.equal(
      config([...argv, '--server-url', 'ws://localhost:8080'], { cwd }).serverUrl.hostname,
      'localhost',
    );
    assert.match(usageError([...argv, '--server-url', 'ws://localhost:8081'], { cwd }), /--server-url/);
    assert.match(usageError([...argv, '--server-url', 'wss://example.com:8080'], { cwd }), /--server-url/);
    await write({ server_url: 'http://10.0.0.1:8080' });
    assert.match(usageError(argv, { cwd }), /another machine/);
    await write({ jwt_secret: 5 });
    assert.match(usageError(argv, { cwd }), /jwt_secret/);
    assert.match(
      usageError(argv, { cwd: `${cwd}/none`, env: { BACKHAUL_URL: 'ws://localhost:1' } }),
      /No token/,
    );
  } finally {
    await rm(cwd, { recursive: true });
  }
});

test('UV_THREADPOOL_SIZE may be larger than the default, but not so small that one mount can block all threads', () => {
  assert.equal(config(needed, { env: { UV_THREADPOOL_SIZE: '128' } }).poolThreads, 128);
  for (const size of ['', '1', '7', '1025', 'many']) {
    assert.match(
      usageError(needed, { env: { UV_THREADPOOL_SIZE: size } }),
      /^UV_THREADPOOL_SIZE must be .* 8 to 1024/,
    );
  }
});

test('a single-value flag or a label given twice is refused', () => {
  assert.match(
    usageError([...needed, '--max-rate', '2048', '--max-rate', '4096']),
    /--max-rate is given twice/,
  );
  assert.match(usageError([...needed, '--client-id', 'b']), /--client-id is given twice/);
  assert.match(
    usageError([...needed, '--label', 'site=a', '--label', 'site=b']),
    /--label site is given twice/,
  );
  assert.match(usageError([...needed, '--alow', '/data']), /did you mean --allow/);
});
