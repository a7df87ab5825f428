import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStoreChild, ObjectStoreFailed, type ObjectStoreOptions } from './object-store-child.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const never = new AbortController().signal;

/** A stand-in for the object store; its flags follow `--`. */
function standIn(script: string, more: Partial<ObjectStoreOptions> = {}): ObjectStoreOptions {
  return {
    command: [process.execPath, '--input-type=module', '--eval', script, '--'],
    dataDir: '/data',
    accessLog: '/access.log',
    bucket: 'files',
    accessKey: 'KEY',
    secretKey: 'SECRET',
    environment: {},
    log: silent,
    ...more,
  };
}

const listens = `console.log(JSON.stringify({ event: 'listening', url: 'http://127.0.0.1:4321' }));`;
const endsWithStdin = `process.stdin.resume().on('end', () => process.exit(0));`;

test('the keys are passed in the environment, not on the command line', async () => {
  const script = `
    import { deepEqual } from 'node:assert/strict';
    deepEqual(process.argv.slice(1), ['--port=7', '--data=/data', '--bucket=files', '--access-log=/access.log', '--exit-with-stdin']);
    const { BACKHAUL_STORE_ACCESS_KEY: a, BACKHAUL_STORE_SECRET_KEY: s, OTHER: o } = process.env;
    deepEqual([a, s, o], ['KEY', 'SECRET', 'x']);
    ${listens} ${endsWithStdin}`;
  const child = await ObjectStoreChild.start(standIn(script, { environment: { OTHER: 'x' } }), {
    port: 7,
    signal: never,
  });
  assert.equal(child.port, 4321);
  await child.stop();
  assert.deepEqual(await child.exited, { how: 'ended with exit code 0', exitCode: 0 });
});

test('lines before the announcement are skipped, and stopping twice equals stopping once', async () => {
  const child = await ObjectStoreChild.start(
    standIn(`console.log('hello'); console.log('{"event":"other"}'); ${listens} ${endsWithStdin}`),
    { port: 0, signal: never },
  );
  await Promise.all([child.stop(), child.stop()]);
  await child.stop();
});

test('a program that exits before it listens fails with its last output', async () => {
  const options = standIn(`console.error('the disk is full'); process.exitCode = 3;`);
  await assert.rejects(
    ObjectStoreChild.start(options, { port: 0, signal: never }),
    (error) =>
      error instanceof ObjectStoreFailed &&
      error.exitCode === 3 &&
      /ended with exit code 3\.\n {2}the disk is full/.test(error.message),
  );
});

test('a missing program fails', async () => {
  const options = standIn('', { command: ['/nowhere/backhaul-object-store'] });
  await assert.rejects(
    ObjectStoreChild.start(options, { port: 0, signal: never }),
    /cannot be started: .*ENOENT/,
  );
});

test('a program that never listens is stopped when the start is aborted', async () => {
  const giveUp = new AbortController();
  const heard = Promise.withResolvers<number>();
  const log = { ...silent, warn: ({ line }: { line: string }) => heard.resolve(Number(line)) };
  const started = ObjectStoreChild.start(standIn(`console.error(process.pid); ${endsWithStdin}`, { log }), {
    port: 0,
    signal: giveUp.signal,
  });
  const pid = await heard.promise;
  giveUp.abort(new Error('given up'));
  await assert.rejects(started, /given up/);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('a program that ignores its input and SIGTERM is killed', async () => {
  const script = `process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1e6); ${listens}`;
  const child = await ObjectStoreChild.start(standIn(script, { stopTimeoutMs: 100 }), {
    port: 0,
    signal: never,
  });
  await child.stop();
  assert.deepEqual(await child.exited, { how: 'was ended by SIGKILL', exitCode: null });
});
