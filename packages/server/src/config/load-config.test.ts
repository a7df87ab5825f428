import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { noProxies } from '@backhaul/program';
import { ConfigError } from './config-error.ts';
import { loadConfig } from './load-config.ts';

const cwd = mkdtempSync(join(tmpdir(), 'backhaul-config-'));
after(() => rmSync(cwd, { recursive: true }));

const secret = 'a-secret-of-more-than-thirty-two-bytes';
const enough = { S3_BUCKET_NAME: 'files', AWS_REGION: 'eu-central-1', JWT_SECRET: secret };
type Env = Record<string, string>;

function load(argv: string[], env: Env) {
  return loadConfig({ argv, env, cwd });
}
function complete(env: Env = {}, argv: string[] = []) {
  const config = load(argv, { ...enough, ...env });
  assert.ok(config.kind === 'complete');
  return config;
}
function dev(env: Env = {}, argv: string[] = []) {
  const config = load(['--dev', ...argv], env);
  assert.ok(config.kind === 'dev');
  return config;
}
function refusal(argv: string[], env: Env): ConfigError {
  try {
    load(argv, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  return assert.fail('the configuration was accepted');
}
function refusedSettings(argv: string[], env: Env): string[] {
  return refusal(argv, env).problems.map(({ setting }) => setting);
}
function file(name: string, content: string): string {
  writeFileSync(join(cwd, name), content);
  return name;
}

test('the least that has to be set gives the documented defaults', () => {
  assert.deepEqual(complete(), {
    kind: 'complete',
    setupBucket: false,
    host: '0.0.0.0',
    port: 8080,
    tls: null,
    databasePath: join(cwd, 'backhaul.sqlite'),
    maxFileSize: 5 * 2 ** 40,
    uploadLimits: {},
    retentionDays: 90,
    auditRetentionDays: 365,
    auditMaxRows: 1_000_000,
    retentionTrustsClock: false,
    legacyReadScope: true,
    renewsTokens: true,
    orphanAgeSeconds: 3600,
    limits: {
      connections: null,
      unauthenticated: null,
      unauthenticatedPerAddress: null,
      heldRequests: 1000,
      heldRequestsPerToken: 100,
      unfinishedPerToken: 100_000,
      unfinishedPerClient: 10_000,
      agentFrames: { bytesPerSecond: 4_194_304, cpuMsPerSecond: 100, refusalsPerMinute: 120 },
    },
    proxies: noProxies,
    trustedProxies: [],
    proxyWaitSeconds: 50,
    logLevel: 'info',
    logFormat: 'auto',
    s3: {
      bucket: 'files',
      region: 'eu-central-1',
      forcePathStyle: false,
      storageClass: { wanted: 'INTELLIGENT_TIERING', required: false },
      sse: { wanted: 'AES256', required: false },
      checksum: 'auto',
      presignExpirySeconds: 900,
      keyPrefix: 'uploads',
      proxies: noProxies,
    },
    jwt: { kind: 'secret', secret },
  });
});

test('one message lists all that is missing, with what it is for and an example', () => {
  const error = refusal([], {});
  assert.deepEqual(
    error.problems.map(({ setting }) => setting),
    ['S3_BUCKET_NAME', 'AWS_REGION', 'JWT_SECRET'],
  );
  assert.match(
    error.message,
    /S3_BUCKET_NAME is not set.*Bucket that.*Example: S3_BUCKET_NAME=my-app-uploads/,
  );
  assert.match(error.message, /JWT_SECRET is not set.*JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL/);
});

const invalid: [name: string, value: string][] = [
  ['S3_BUCKET_NAME', 'Has Spaces'],
  ['S3_BUCKET_NAME', '10.0.0.1'],
  ['AWS_REGION', 'eu central'],
  ['S3_ENDPOINT', 'minio:9000'],
  ['S3_ENDPOINT', 'http://store/?x=1'],
  ['S3_PUBLIC_ENDPOINT', 'ftp://files'],
  ['S3_FORCE_PATH_STYLE', 'yes'],
  ['S3_KEY_PREFIX', '/uploads'],
  ['S3_KEY_PREFIX', 'a/../b'],
  ['S3_KEY_PREFIX', 'a//b'],
  ['S3_STORAGE_CLASS', 'standard'],
  ['S3_STORAGE_CLASS', 'DEEP_ARCHIVE'],
  ['S3_SSE', 'aes'],
  ['S3_CHECKSUM', 'crc64'],
  ['PRESIGN_EXPIRY_SECONDS', '0'],
  ['PRESIGN_EXPIRY_SECONDS', '43201'],
  ['PRESIGN_EXPIRY_SECONDS', '1e3'],
  ['MAX_FILE_SIZE', '10 gigabytes'],
  ['MAX_FILE_SIZE', '0'],
  ['MAX_FILE_SIZE', '50001GiB'],
  ['JWT_SECRET', 'short'],
  ['JWT_SECRET', 'x'.repeat(32)],
  ['JWT_SECRET', 'abcabcabd'.repeat(8)],
  ['JWT_SECRET', `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(64)}\n-----END PUBLIC KEY-----`],
  ['DATABASE_URL', 'postgres://user:pass@db/backhaul'],
  ['DATABASE_URL', 'mysql://db'],
  ['DATABASE_URL', 'sqlite::memory:'],
  ['REDIS_URL', 'redis://localhost'],
  ['RETENTION_DAYS', '-1'],
  ['HOST', 'http://localhost'],
  ['PORT', '65536'],
  ['LOG_LEVEL', 'verbose'],
];
for (const [name, value] of invalid) {
  test(`${name}=${value.split('\n')[0]} is refused by its name`, () => {
    const error = refusal([], { ...enough, [name]: value });
    assert.ok(
      error.problems.some(({ setting, message }) => setting === name && message.startsWith(`${name} `)),
      error.message,
    );
  });
}

test('a proxy is taken without its scheme, and one that cannot be read is refused only where it is used', () => {
  assert.equal(complete({ HTTP_PROXY: 'proxy:3128' }).proxies.HTTP_PROXY, 'http://proxy:3128');
  const wrong = { HTTP_PROXY: 'socks5://u:hunter2@proxy:1080' };
  complete(wrong);
  const store = {
    S3_ENDPOINT: 'http://minio:9000',
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
  };
  complete({ ...wrong, ...store, NO_PROXY: 'minio' });
  dev({ ...wrong });
  for (const argv of [[], ['--dev']]) {
    const { message } = refusal(argv, { ...enough, ...wrong, ...store });
    assert.match(message, /HTTP_PROXY must be the address of an HTTP proxy/);
    assert.doesNotMatch(message, /hunter2/);
  }
  const keySet = { JWT_SECRET: '', JWT_JWKS_URL: 'https://idp.example.com/keys' };
  const both = { ...enough, ...keySet, HTTPS_PROXY: 'socks5://proxy:1080' };
  assert.deepEqual(refusedSettings([], both), ['HTTPS_PROXY']);
  assert.deepEqual(refusedSettings([], { ...both, NO_PROXY: 'amazonaws.com' }), ['HTTPS_PROXY']);
  complete({ ...both, NO_PROXY: 'amazonaws.com idp.example.com' });
});

test('PostgreSQL and Redis are refused for what they are', () => {
  assert.match(
    refusal([], { ...enough, DATABASE_URL: 'postgresql://db/x' }).message,
    /PostgreSQL, which this version does not support/,
  );
  assert.match(
    refusal([], { ...enough, REDIS_URL: 'redis://r' }).message,
    /Redis, which this version does not support/,
  );
});

test('a setting that was not understood is not reported as missing too', () => {
  assert.deepEqual(refusedSettings([], { ...enough, S3_BUCKET_NAME: 'X' }), ['S3_BUCKET_NAME']);
});

test('no message repeats a secret, wherever it stands', () => {
  const leak = 'hunter2hunter2';
  const config = file('leak.json', JSON.stringify({ JWT_SECRET: { nested: leak }, [`PORT`]: 'x' }));
  const broken = file('broken.json', `{"JWT_SECRET": "${leak}`);
  const messages = [
    refusal([], { JWT_SECRET: leak }),
    refusal([], { ...enough, DATABASE_URL: `postgres://u:${leak}@db/x` }),
    refusal([], { ...enough, S3_ENDPOINT: `http://u:${leak}@store` }),
    refusal([], { ...enough, REDIS_URL: `redis://:${leak}@r` }),
    refusal([], { ...enough, REDIS_URL: leak, DATABASE_URL: leak }),
    refusal([`--jwt-secret=${leak}`, leak, '--dev=x'], enough),
    refusal(['--config', config], enough),
    refusal(['--config', broken], enough),
    refusal([], { AWS_SECRET_ACCESS_KEY: leak }),
  ];
  for (const { message } of messages) assert.ok(!message.includes(leak), message);
});

test('a value that is no secret is repeated, with where it came from', () => {
  assert.match(refusal(['--port', 'abc'], enough).message, /^PORT \(from --port\) must .*; it is "abc"\.$/);
});

test('flags win over the environment, that over the file, and that over the default', () => {
  const config = file('order.json', JSON.stringify({ PORT: 1001, HOST: '10.0.0.1', LOG_LEVEL: 'warn' }));
  const from = (argv: string[], env: Env) => {
    const { port, host, logLevel, retentionDays } = complete(env, argv);
    return { port, host, logLevel, retentionDays };
  };
  assert.deepEqual(from(['--config', config, '--port', '1003'], { PORT: '1002', HOST: '10.0.0.2' }), {
    port: 1003,
    host: '10.0.0.2',
    logLevel: 'warn',
    retentionDays: 90,
  });
});

test('an empty text counts as not set, so that the next source is asked', () => {
  const config = file('empty.json', JSON.stringify({ PORT: '', HOST: '10.0.0.1' }));
  const { port, host } = complete({ PORT: '', HOST: '' }, ['--config', config, '--port=']);
  assert.deepEqual({ port, host }, { port: 8080, host: '10.0.0.1' });
  assert.deepEqual(refusedSettings([], { ...enough, JWT_SECRET: '' }), ['JWT_SECRET']);
});

test('a key of the file that is not a setting is named', () => {
  const config = file('unknown.json', JSON.stringify({ S3_BUCKET: 'files' }));
  assert.match(
    refusal(['--config', config], enough).message,
    /"S3_BUCKET" in unknown\.json is not a setting/,
  );
});

test('a file that is missing or no JSON object is named', () => {
  assert.match(
    refusal(['--config', 'nowhere.json'], enough).message,
    /nowhere\.json, which cannot be read: ENOENT/,
  );
  for (const content of ['[]', 'null', '{', '"x"']) {
    const config = file('not-an-object.json', content);
    assert.match(refusal(['--config', config], enough).message, /does not contain one JSON object/);
  }
});

test('a flag that takes one value is refused when given twice, and a mistyped one told with what was meant', () => {
  assert.match(
    refusal(['--port', '1', '--port=2'], enough).message,
    /--port is given twice, but takes only one value/,
  );
  assert.match(
    refusal(['--prot', '1'], enough).message,
    /--prot is not a flag of backhaul-server: did you mean --port/,
  );
});

test('flags that do not exist, lack a value or have one too many are named', () => {
  assert.deepEqual(refusedSettings(['--prot', '1', '--host', '--dev=1', '--config'], enough), [
    '--prot',
    '--host',
    '--config',
    'arguments',
  ]);
  assert.deepEqual(refusedSettings(['--setup-bucket=no'], enough), ['--setup-bucket']);
});

test('--setup-bucket is passed on', () => {
  assert.equal(complete({}, ['--setup-bucket']).setupBucket, true);
});

test('sizes are bytes or have a unit', () => {
  assert.equal(complete({ MAX_FILE_SIZE: '1048576' }).maxFileSize, 1_048_576);
  assert.equal(complete({ MAX_FILE_SIZE: '10GiB' }).maxFileSize, 10 * 2 ** 30);
  assert.equal(complete({ MAX_FILE_SIZE: '10 GB' }).maxFileSize, 10_000_000_000);
});

test('encryption and storage class are required once they are set, and none asks for nothing', () => {
  const { s3 } = complete({ S3_SSE: 'AES256', S3_STORAGE_CLASS: 'none' });
  assert.deepEqual(s3.sse, { wanted: 'AES256', required: true });
  assert.deepEqual(s3.storageClass, { wanted: null, required: false });
});

test('a compatible store needs keys of its own; Amazon S3 takes the SDK’s, and never half a pair', () => {
  const store = { ...enough, S3_ENDPOINT: 'http://localhost:9000/' };
  assert.deepEqual(refusedSettings([], store), ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
  assert.deepEqual(refusedSettings([], { ...enough, AWS_ACCESS_KEY_ID: 'k' }), ['AWS_SECRET_ACCESS_KEY']);
  assert.deepEqual(refusedSettings([], { ...enough, AWS_SECRET_ACCESS_KEY: 's' }), ['AWS_ACCESS_KEY_ID']);
  assert.deepEqual(refusedSettings([], { ...enough, AWS_SESSION_TOKEN: 't' }), [
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
  ]);
  assert.equal(complete().s3.accessKeyId, undefined);
});

test('a compatible store gets path style and a region unless they are set', () => {
  const keys = { AWS_ACCESS_KEY_ID: 'k', AWS_SECRET_ACCESS_KEY: 's', AWS_REGION: '' };
  const { s3 } = complete({ ...keys, S3_ENDPOINT: 'http://localhost:9000/' });
  assert.equal(s3.endpoint, 'http://localhost:9000');
  assert.equal(s3.region, 'us-east-1');
  assert.equal(s3.forcePathStyle, true);
  assert.equal(
    complete({ ...keys, S3_ENDPOINT: 'http://s', S3_FORCE_PATH_STYLE: 'false' }).s3.forcePathStyle,
    false,
  );
});

test('tokens are checked with exactly one source', () => {
  const path = file('jwt.pem', 'a key');
  const keySet = 'https://id.example.com/jwks';
  assert.match(
    refusal([], { ...enough, JWT_JWKS_URL: keySet }).message,
    /JWT_SECRET and JWT_JWKS_URL are set/,
  );
  assert.deepEqual(complete({ JWT_SECRET: '', JWT_JWKS_URL: keySet }).jwt, {
    kind: 'jwks',
    url: keySet,
    maxAgeMs: 86_400_000,
  });
  assert.deepEqual(complete({ JWT_SECRET: '', JWT_PUBLIC_KEY_FILE: path }).jwt, {
    kind: 'public-key-file',
    path: join(cwd, path),
  });
});

test('a key set over plain HTTP is refused, except on this machine', () => {
  const withUrl = (url: string) => ({ ...enough, JWT_SECRET: '', JWT_JWKS_URL: url });
  assert.deepEqual(refusedSettings([], withUrl('http://id.example.com/jwks')), ['JWT_JWKS_URL']);
  assert.deepEqual(refusedSettings([], withUrl('http://127.0.0.1.example.com/jwks')), ['JWT_JWKS_URL']);
  assert.equal(load([], withUrl('http://127.0.0.1:1/jwks')).kind, 'complete');
});

test('certificate and key come together, and a client CA needs both', () => {
  const path = file('some.pem', 'x');
  assert.deepEqual(refusedSettings([], { ...enough, TLS_CERT_FILE: path }), ['TLS_KEY_FILE']);
  assert.deepEqual(refusedSettings([], { ...enough, TLS_KEY_FILE: path }), ['TLS_CERT_FILE']);
  assert.deepEqual(refusedSettings([], { ...enough, TLS_CLIENT_CA_FILE: path }), [
    'TLS_CERT_FILE',
    'TLS_KEY_FILE',
  ]);
  assert.deepEqual(complete({ TLS_CERT_FILE: path, TLS_KEY_FILE: path }).tls, {
    certFile: join(cwd, path),
    keyFile: join(cwd, path),
    clientCaFile: null,
    clientMatch: 'client_id',
  });
});

test('files that cannot be read stop the start', () => {
  mkdirSync(join(cwd, 'directory'));
  const error = refusal([], {
    ...enough,
    TLS_CERT_FILE: 'nowhere.crt',
    TLS_KEY_FILE: 'directory',
  });
  assert.match(error.message, /TLS_CERT_FILE is set to .*nowhere\.crt, which does not exist/);
  assert.match(error.message, /TLS_KEY_FILE is set to .*directory, which is a directory/);
});

test('--dev needs nothing, stays on this machine and keeps its database apart', () => {
  const config = dev();
  assert.equal(config.s3, null);
  assert.equal(config.jwtSecret, null);
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.databasePath, join(cwd, '.backhaul/backhaul.sqlite'));
  assert.equal(config.s3Preferences.forcePathStyle, true);
});

test('--dev uses another store once one is named, and then all of it has to be there', () => {
  assert.equal(dev({ S3_BUCKET_NAME: 'files', AWS_REGION: 'eu-central-1' }).s3?.bucket, 'files');
  assert.deepEqual(refusedSettings(['--dev'], { S3_ENDPOINT: 'http://s' }), [
    'S3_BUCKET_NAME',
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
  ]);
});

test('--dev ignores credentials for AWS that happen to be around', () => {
  assert.equal(dev({ AWS_ACCESS_KEY_ID: 'k', AWS_SESSION_TOKEN: 't' }).s3, null);
});

test('--dev refuses keys that it cannot sign with', () => {
  const error = refusal(['--dev'], { JWT_JWKS_URL: 'https://id.example.com/jwks' });
  assert.match(error.message, /^JWT_JWKS_URL cannot be used with --dev/);
});

test('child processes get the environment without the settings', () => {
  const { childEnvironment } = dev({ PATH: '/bin', JWT_SECRET: secret, AWS_SECRET_ACCESS_KEY: 's' });
  assert.deepEqual(childEnvironment, { PATH: '/bin' });
});

test('a --config file may begin with the byte order mark of Windows', () => {
  const config = file('with-bom.json', '\uFEFF{ "S3_KEY_PREFIX": "from-a-file" }');
  assert.equal(complete({}, ['--config', config]).s3.keyPrefix, 'from-a-file');
});

test('the configuration is frozen to its depths', () => {
  const config = complete();
  assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  assert.throws(() => Object.assign(config.s3.sse, { wanted: 'x' }), TypeError);
});

test('--dev listens on this machine only, whatever HOST is elsewhere; its flag counts', () => {
  const config = file('host.json', JSON.stringify({ HOST: '10.0.0.1' }));
  const hosts = ({ host, ignoredHost }: ReturnType<typeof dev>) => ({ host, ignoredHost });
  assert.deepEqual(hosts(dev()), { host: '127.0.0.1', ignoredHost: null });
  assert.deepEqual(hosts(dev({ HOST: '0.0.0.0' })), { host: '127.0.0.1', ignoredHost: '0.0.0.0' });
  assert.deepEqual(hosts(dev({}, ['--config', config])), { host: '127.0.0.1', ignoredHost: '10.0.0.1' });
  assert.deepEqual(hosts(dev({ HOST: '10.0.0.2' }, ['--host', '0.0.0.0'])), {
    host: '0.0.0.0',
    ignoredHost: null,
  });
  assert.equal(complete({ HOST: '10.0.0.2' }).host, '10.0.0.2');
});

test('a secret that can be guessed is refused with a command that makes one', () => {
  for (const guessable of ['x'.repeat(32), 'ab'.repeat(20), '0123456'.repeat(5)]) {
    const { message } = refusal([], { ...enough, JWT_SECRET: guessable });
    assert.match(
      message,
      /JWT_SECRET .*can be guessed.*openssl rand -hex 32.*Tokens signed with the old secret end/,
    );
  }
});

test('a previous secret goes with JWT_SECRET only, is another one, and no weaker', () => {
  const previous = '76543210'.repeat(4);
  assert.deepEqual(complete({ JWT_SECRET_PREVIOUS: previous }).jwt, { kind: 'secret', secret, previous });
  const keySet = { JWT_SECRET: '', JWT_JWKS_URL: 'https://id.example.com/jwks' };
  for (const env of [{ JWT_SECRET_PREVIOUS: secret }, { JWT_SECRET_PREVIOUS: 'x'.repeat(32) }, keySet]) {
    const given = { ...enough, JWT_SECRET_PREVIOUS: previous, ...env };
    assert.deepEqual(refusedSettings([], given), ['JWT_SECRET_PREVIOUS']);
  }
  assert.deepEqual(refusedSettings(['--dev'], { JWT_SECRET_PREVIOUS: previous }), ['JWT_SECRET_PREVIOUS']);
});

test('the words of another issuer’s tokens are settings, and agents stay apart from operators', () => {
  const env = {
    JWT_SECRET: '',
    JWT_JWKS_URL: 'https://id.example.com/jwks',
    JWT_ISSUER: 'https://id.example.com',
  };
  assert.deepEqual(complete({ ...env, JWT_AGENT_TYPE: 'any', JWT_SCOPE_CLAIM: 'roles' }).tokenRules, {
    issuer: 'https://id.example.com',
    audience: { agent: 'backhaul-agent', operator: 'backhaul-operator' },
    type: { agent: null, operator: 'backhaul-operator+jwt' },
    scopeClaim: 'roles',
  });
  assert.equal(complete().tokenRules, undefined);
  const audiences = { JWT_AGENT_AUDIENCE: 'x', JWT_OPERATOR_AUDIENCE: 'x' };
  assert.equal(complete({ ...env, ...audiences }).tokenRules?.audience.agent, 'x', 'the types differ');
  const { message } = refusal([], { ...enough, ...env, ...audiences, JWT_AGENT_TYPE: 'any' });
  assert.match(message, /An agent’s token would give access to the API/);
  const sameTypes = { JWT_AGENT_TYPE: 'at+jwt', JWT_OPERATOR_TYPE: 'application/AT+JWT' };
  assert.match(
    refusal([], { ...enough, ...env, ...audiences, ...sameTypes }).message,
    /An agent’s token would give access to the API/,
    'types are compared as those of tokens are',
  );
  assert.deepEqual(refusedSettings([], { ...enough, JWT_ISSUER: 'x' }), ['JWT_ISSUER']);
  assert.deepEqual(refusedSettings(['--dev'], { JWT_ISSUER: 'x' }), ['JWT_ISSUER']);
});

test('a secret of eight different characters or more is taken', () => {
  const jwtSecret = '01234567'.repeat(4);
  assert.deepEqual(complete({ JWT_SECRET: jwtSecret }).jwt, { kind: 'secret', secret: jwtSecret });
});

test('an invisible character in a credential is refused by name, and not shown', () => {
  const keys = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'a/secret+of=the-store' };
  assert.equal(
    complete({ ...keys, AWS_SESSION_TOKEN: 'token' }).s3.secretAccessKey,
    keys.AWS_SECRET_ACCESS_KEY,
  );
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) {
    for (const text of [
      'value\r',
      'value\n',
      ' value',
      'value ',
      'value\u00a0',
      '\ufeffvalue',
      'va\u0000lue',
      '\t',
    ]) {
      const error = refusal([], { ...enough, ...keys, [name]: text });
      assert.deepEqual(
        error.problems.map(({ setting }) => setting),
        [name],
        JSON.stringify(text),
      );
      assert.match(error.message, /white space.*control characters/);
      assert.ok(!error.message.includes('value'));
    }
  }
});

test('an endpoint that names the bucket is refused with the address that it should be', () => {
  const keys = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret', S3_BUCKET_NAME: 'files' };
  for (const [endpoint, store] of [
    ['https://files.s3.eu-central-1.amazonaws.com', 'https://s3.eu-central-1.amazonaws.com'],
    ['https://files.s3-eu-west-1.amazonaws.com/', 'https://s3-eu-west-1.amazonaws.com'],
    ['https://files.nyc3.digitaloceanspaces.com', 'https://nyc3.digitaloceanspaces.com'],
    ['https://files.storage.googleapis.com', 'https://storage.googleapis.com'],
    ['http://files.s3.internal:9000', 'http://s3.internal:9000'],
    ['http://10.0.0.7:9000/files', 'http://10.0.0.7:9000'],
    ['http://10.0.0.7:9000/files/', 'http://10.0.0.7:9000'],
    ['http://host/s3/files', 'http://host/s3'],
  ] as const) {
    for (const name of ['S3_ENDPOINT', 'S3_PUBLIC_ENDPOINT']) {
      const env = { ...enough, ...keys, S3_ENDPOINT: 'http://store:9000', [name]: endpoint };
      const error = refusal([], env);
      assert.deepEqual(
        error.problems.map(({ setting }) => setting),
        [name],
        endpoint,
      );
      assert.ok(error.message.includes(`${name} `) && error.message.includes(`${store}.`), error.message);
    }
  }
  for (const endpoint of [
    'http://files:9000',
    'https://files.example.com',
    'https://files.internal:9000',
    'https://s3.eu-central-1.amazonaws.com',
    'https://nyc3.digitaloceanspaces.com',
    'http://host/files-and-more',
  ]) {
    assert.equal(complete({ ...keys, S3_ENDPOINT: endpoint }).s3.endpoint, endpoint);
  }
});
