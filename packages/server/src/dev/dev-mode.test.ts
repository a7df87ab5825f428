import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { DEV_FILE, type DevFile, devFileSchema } from '@backhaul/protocol/dev-file';
import { secretKeys } from '../auth/token-keys.ts';
import { TokenVerifier } from '../auth/token-verifier.ts';
import { ConfigError } from '../config/config-error.ts';
import { loadConfig } from '../config/load-config.ts';
import { type DevMode, startDevMode } from './dev-mode.ts';

const clock = { now: () => Date.now() };
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const never = new AbortController().signal;

async function workingDirectory(t: TestContext): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  t.after(() => rm(cwd, { recursive: true }));
  return cwd;
}

function devConfig(cwd: string, env: Record<string, string> = {}) {
  const config = loadConfig({ argv: ['--dev'], env, cwd });
  assert.ok(config.kind === 'dev');
  return config;
}

type Options = Partial<Parameters<typeof startDevMode>[0]> & { env?: Record<string, string> };
function start(cwd: string, { env, ...options }: Options = {}): Promise<DevMode> {
  return startDevMode({ config: devConfig(cwd, env), cwd, clock, log: silent, signal: never, ...options });
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

async function bucketAnswers({ config: { s3 } }: DevMode): Promise<void> {
  assert.ok(s3.endpoint !== undefined && s3.accessKeyId !== undefined && s3.secretAccessKey !== undefined);
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    forcePathStyle: s3.forcePathStyle,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  });
  await client.send(new HeadBucketCommand({ Bucket: s3.bucket }));
  client.destroy();
}

function surviving({ config: { s3, jwt } }: DevMode) {
  return { jwt, endpoint: s3.endpoint, keys: [s3.accessKeyId, s3.secretAccessKey] };
}

test('without settings it creates a private directory, a secret and a store with a bucket', async (t) => {
  const cwd = await workingDirectory(t);
  await using dev = await start(cwd);
  const directory = join(cwd, '.backhaul');
  assert.equal(await modeOf(directory), '700');
  assert.equal(await modeOf(join(directory, 'state.json')), '600');
  assert.equal(await readFile(join(directory, '.gitignore'), 'utf8'), '*\n');
  assert.ok(dev.config.jwt.kind === 'secret' && dev.config.jwt.secret.length >= 32);
  assert.ok(Object.isFrozen(dev.config.s3));
  await bucketAnswers(dev);
});

test('an existing directory is made private', async (t) => {
  const cwd = await workingDirectory(t);
  const directory = join(cwd, '.backhaul');
  await mkdir(directory);
  await chmod(directory, 0o755);
  await using _ = await start(cwd, { env: { S3_BUCKET_NAME: 'files', AWS_REGION: 'eu-central-1' } });
  assert.equal(await modeOf(directory), '700');
});

test('secret, keys and the store’s address survive a restart', async (t) => {
  const cwd = await workingDirectory(t);
  const first = await start(cwd);
  await first.close();
  await using second = await start(cwd);
  assert.deepEqual(surviving(second), surviving(first));
  await bucketAnswers(second);
});

test('the store takes another port when its own is in use, and uses that one from then on', async (t) => {
  const cwd = await workingDirectory(t);
  const first = await start(cwd);
  await first.close();
  const port = Number(new URL(first.config.s3.endpoint ?? '').port);
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const second = await start(cwd);
  await second.close();
  assert.notEqual(second.config.s3.endpoint, first.config.s3.endpoint);
  await using third = await start(cwd);
  assert.equal(third.config.s3.endpoint, second.config.s3.endpoint);
});

test('a second server in the same directory is refused and does not affect the first', async (t) => {
  const cwd = await workingDirectory(t);
  await using first = await start(cwd);
  await first.writeDevFile('http://127.0.0.1:8080');
  await assert.rejects(
    start(cwd),
    (error) =>
      error instanceof ConfigError && /another backhaul-server --dev is running there/.test(error.message),
  );
  await bucketAnswers(first);
  assert.equal(await modeOf(join(cwd, DEV_FILE)), '600');
});

test('a crashed store is restarted at the same address', async (t) => {
  const cwd = await workingDirectory(t);
  const again = Promise.withResolvers<void>();
  const log = {
    ...silent,
    info: (_: object, message: string) => message.includes('restarted') && again.resolve(),
  };
  await using dev = await start(cwd, { log });
  assert.ok(dev.store?.pid !== undefined);
  const { pid } = dev.store;
  process.kill(pid, 'SIGKILL');
  await again.promise;
  assert.notEqual(dev.store.pid, pid);
  await bucketAnswers(dev);
});

test('closing stops the restart of a crashed store', async (t) => {
  const cwd = await workingDirectory(t);
  const exited = Promise.withResolvers<void>();
  const log = { ...silent, error: () => exited.resolve() };
  const dev = await start(cwd, { log });
  process.kill(dev.store?.pid ?? assert.fail(), 'SIGKILL');
  await exited.promise;
  await dev.close();
  await using next = await start(cwd);
  await bucketAnswers(next);
});

test('a killed server leaves no store running, and the next one gets its address', async (t) => {
  const cwd = await workingDirectory(t);
  const script = `
    import { loadConfig } from ${JSON.stringify(import.meta.resolve('../config/load-config.ts'))};
    import { startDevMode } from ${JSON.stringify(import.meta.resolve('./dev-mode.ts'))};
    const cwd = ${JSON.stringify(cwd)};
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const dev = await startDevMode({ config: loadConfig({ argv: ['--dev'], env: {}, cwd }), cwd, log,
      clock: { now: () => Date.now() }, signal: new AbortController().signal });
    await dev.writeDevFile('http://127.0.0.1:1');
    console.log(dev.config.s3.endpoint);`;
  const server = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(server, 'exit');
  const [endpoint] = (await once(createInterface(server.stdout), 'line')) as [string];
  server.kill('SIGKILL');
  await exited;
  // Starts only once the old store has released the data directory and the port.
  await using dev = await start(cwd);
  assert.equal(dev.config.s3.endpoint, endpoint);
  await bucketAnswers(dev);
});

test('the dev file has a token with every scope and is removed when the server stops', async (t) => {
  const cwd = await workingDirectory(t);
  const dev = await start(cwd);
  await dev.writeDevFile('http://127.0.0.1:8080');
  const path = join(cwd, DEV_FILE);
  const file = devFileSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  assert.equal(await modeOf(path), '600');
  assert.equal(file.server_url, 'http://127.0.0.1:8080');
  assert.equal(file.pid, process.pid);
  const verifier = new TokenVerifier(secretKeys(file.jwt_secret), clock);
  const { scope } = await verifier.verify('operator', file.operator_token);
  assert.deepEqual(scope, ['read', 'content', 'trigger', 'metrics', 'audit', 'admin']);
  await dev.close();
  await dev.close();
  await assert.rejects(readFile(path), { code: 'ENOENT' });
});

for (const [what, change] of [
  ['another server', (file: DevFile) => JSON.stringify({ ...file, pid: file.pid + 1 })],
  ['a writer of invalid JSON', () => 'mine'],
] as const) {
  test(`a dev file of ${what} is not removed when the server stops`, async (t) => {
    const cwd = await workingDirectory(t);
    const dev = await start(cwd, { env: { S3_BUCKET_NAME: 'files', AWS_REGION: 'eu-central-1' } });
    await dev.writeDevFile('http://127.0.0.1:8080');
    const path = join(cwd, DEV_FILE);
    const foreign = change(devFileSchema.parse(JSON.parse(await readFile(path, 'utf8'))));
    await writeFile(path, foreign);
    await dev.close();
    assert.equal(await readFile(path, 'utf8'), foreign);
  });
}

test('a configured secret and store are used, and the secret is not stored', async (t) => {
  const cwd = await workingDirectory(t);
  const secret = 'a-secret-of-more-than-thirty-two-bytes';
  const env = { JWT_SECRET: secret, S3_BUCKET_NAME: 'files', AWS_REGION: 'eu-central-1' };
  await using dev = await start(cwd, { env });
  assert.deepEqual(dev.config.jwt, { kind: 'secret', secret });
  assert.equal(dev.config.s3.bucket, 'files');
  assert.equal(dev.store, undefined);
  const state = await readFile(join(cwd, '.backhaul/state.json'), 'utf8');
  assert.ok(!state.includes(secret));
});

test('a damaged state file is refused by its path without showing its content', async (t) => {
  const cwd = await workingDirectory(t);
  await mkdir(join(cwd, '.backhaul'));
  for (const damaged of ['{"jwt_secret": "hunter2', '{"jwt_secret": "hunter2"}']) {
    await writeFile(join(cwd, '.backhaul/state.json'), damaged);
    await assert.rejects(
      start(cwd),
      (error) =>
        error instanceof ConfigError && /state\.json/.test(error.message) && !/hunter2/.test(error.message),
    );
  }
});

test('after a failed start of the store the directory can be used again', async (t) => {
  const cwd = await workingDirectory(t);
  const storeCommand = [process.execPath, '--eval', 'process.exitCode = 1', '--'] as const;
  await assert.rejects(
    start(cwd, { storeCommand: [...storeCommand] }),
    /embedded object store ended with exit code 1/,
  );
  await using dev = await start(cwd);
  await bucketAnswers(dev);
});
