import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError, loadConfig } from './config.ts';

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
    maxFileSize: null,
    retentionDays: 90,
    orphanAgeSeconds: 3600,
    logLevel: 'info',
    s3: {
      bucket: 'files',
      region: 'eu-central-1',
      forcePathStyle: false,
      storageClass: { wanted: 'INTELLIGENT_TIERING', required: false },
      sse: { wanted: 'AES256', required: false },
      checksum: 'auto',
      presignExpirySeconds: 900,
      keyPrefix: 'uploads',
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
    /S3_BUCKET_NAME is not set.*The bucket.*Example: S3_BUCKET_NAME=my-app-uploads/,
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
    assert.match(refusal(['--config', config], enough).message, /does not hold one JSON object/);
  }
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
  assert.deepEqual(complete({ JWT_SECRET: '', JWT_JWKS_URL: keySet }).jwt, { kind: 'jwks', url: keySet });
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
  });
});

test('files that cannot be read stop the start', () => {
  mkdirSync(join(cwd, 'directory'));
  const error = refusal([], {
    ...enough,
    TLS_CERT_FILE: 'nowhere.crt',
    TLS_KEY_FILE: 'directory',
  });
  assert.match(error.message, /TLS_CERT_FILE names .*nowhere\.crt, which does not exist/);
  assert.match(error.message, /TLS_KEY_FILE names .*directory, which is a directory/);
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

test('the configuration is frozen to its depths', () => {
  const config = complete();
  assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  assert.throws(() => Object.assign(config.s3.sse, { wanted: 'x' }), TypeError);
});
