import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { replaceInFile } from '../../../../test/harness/agent/hashed-file.ts';
import { TemporaryFile } from '../../../../test/harness/agent/temporary-file.ts';
import { createLog } from '../log.ts';
import { HashThreadPool } from './hash-thread-pool.ts';
import type { HashedFile } from './hashers.ts';

const TiB = 1024 ** 4;
const log = createLog({ level: 'silent', format: 'json', write: () => {} });
const signal = AbortSignal.timeout(60_000);
const options = { mode: 'crc32', inDigest: false, signal } as const;
const range = { offset: 0, length: 7 };

function open(threads: HashThreadPool, file: HashedFile) {
  return threads.open(file) ?? assert.fail('no thread is available');
}

test('two files use one thread each, and the threads are reused', async () => {
  await using file = await TemporaryFile.create('content');
  await using threads = new HashThreadPool({ log });
  assert.equal(threads.count, 0, 'no thread is started before the first file');
  const [one, two] = [open(threads, file.opened), open(threads, file.opened)];
  assert.equal(threads.count, 2);
  const checksums = await one.hashPart(range, options);
  assert.deepEqual(await two.hashPart(range, options), checksums);
  await one.close();
  const three = open(threads, file.opened);
  assert.deepEqual(await three.hashPart(range, options), checksums);
  assert.equal(threads.count, 2);
  await two.close();
  await three.close();
});

test('more files share the threads and take turns', async () => {
  await using large = await TemporaryFile.create('', TiB);
  await using small = await TemporaryFile.create('content');
  await using threads = new HashThreadPool({ log });
  let done = 0;
  const endless = [open(threads, large.opened), open(threads, large.opened)].map(async (hasher) => {
    await assert.rejects(hasher.hashPart({ offset: 0, length: TiB }, options));
    done += 1;
  });
  for (let n = 0; n < 4; n += 1) {
    await using hasher = open(threads, small.opened);
    await hasher.hashPart(range, options);
  }
  assert.equal(threads.count, 2);
  assert.equal(done, 0, 'the large ones are still being read');
  await threads.close();
  await Promise.all(endless);
});

test('an idle thread ends after a while', async () => {
  await using file = await TemporaryFile.create('content');
  await using threads = new HashThreadPool({ log, idleMs: 1 });
  const hasher = open(threads, file.opened);
  await hasher.hashPart(range, options);
  assert.equal(threads.count, 1);
  await hasher.close();
  while (threads.count > 0) {
    signal.throwIfAborted();
    await delay(1);
  }
});

test('if the thread ends, pending requests fail and the file can be closed', async () => {
  await using file = await TemporaryFile.create('content', TiB);
  const threads = new HashThreadPool({ log });
  const hasher = open(threads, file.opened);
  const rejected = assert.rejects(hasher.hashPart({ offset: 0, length: TiB }, options), {
    code: 'agent_busy',
  });
  await threads.close();
  await rejected;
  await hasher.close();
  assert.equal(threads.count, 0);
  assert.equal(threads.open(file.opened), null, 'no other thread is started');
});

test('a dying thread gets no other file, even before its exit event', async () => {
  await using file = await TemporaryFile.create('content');
  const program = new URL(
    `data:text/javascript,import { parentPort } from 'node:worker_threads';
    parentPort.on('message', ({ port }) => port.on('message', ({ type }) => {
      if (type === 'part') process.exit();
      port.postMessage({ digest: 'well' });
    }));`,
  );
  await using threads = new HashThreadPool({ log, program });
  const hasher = open(threads, file.opened);
  await assert.rejects(hasher.hashPart(range, options), { code: 'agent_busy' });
  assert.equal(await open(threads, file.opened).digest(), 'well');
});

test("no thread is available if Node.js's permission model refuses it", async () => {
  const module = JSON.stringify(new URL('hash-thread-pool.ts', import.meta.url));
  const program = `import { HashThreadPool } from ${module};
    console.log(new HashThreadPool({ log: console }).open({ fd: 0, normalizedPath: '' }));`;
  const flags = ['--permission', '--allow-fs-read=*', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  assert.equal(stdout, 'null\n');
});

test('modules preloaded into the agent are not loaded into its threads', async () => {
  await using file = await TemporaryFile.create('content');
  const module = JSON.stringify(new URL('hash-thread-pool.ts', import.meta.url));
  const preload = `data:text/javascript,console.log('loaded')`;
  const program = `import { HashThreadPool } from ${module};
    const threads = new HashThreadPool({ log: console });
    const hasher = threads.open({ fd: ${file.opened.fd}, normalizedPath: '', requireUnchanged() {}, keepOpen() {} });
    console.log(await hasher.digest());
    await hasher.close();
    await threads.close();`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', preload, '--input-type=module', '--eval', program],
    { env: { ...process.env, NODE_OPTIONS: `--import="${preload}"` } },
  );
  const emptyDigest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  assert.equal(stdout, `loaded\n${emptyDigest}\n`, 'loaded once, in the main thread');
});

/** Like the real program, except that it never reads a file named `hangs`. */
const hanging = new URL(
  `data:text/javascript,import { parentPort } from 'node:worker_threads';
  import { serveHashRequests } from ${JSON.stringify(import.meta.resolve('./hash-thread.ts'))};
  parentPort.removeAllListeners('message');
  parentPort.on('message', (file) => {
    if (file.path !== 'hangs') return serveHashRequests(file);
    file.port.on('message', () => {
      Atomics.add(new Int32Array(file.calls), 0, 1);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
  });`,
);

function hangingFile(file: HashedFile, onHang: (done: Promise<unknown>) => void): HashedFile {
  return replaceInFile(file, { normalizedPath: 'hangs', keepOpen: () => {}, reportHanging: onHang });
}

test('a hanging read affects only its own file: others on the same thread continue, including their digests', async () => {
  const content = Buffer.from('content of two parts');
  await using file = await TemporaryFile.create(content);
  await using threads = new HashThreadPool({ log, program: hanging, timeoutMs: 200 });
  const reported: Promise<unknown>[] = [];
  const bad = open(
    threads,
    hangingFile(file.opened, (done) => reported.push(done)),
  );
  const good = [open(threads, file.opened), open(threads, file.opened), open(threads, file.opened)];
  const inDigest = { ...options, inDigest: true };
  const first = await Promise.all(good.map((hasher) => hasher.hashPart(range, inDigest)));
  await assert.rejects(bad.hashPart(range, options), { code: 'read_failed', message: /has not responded/ });
  const rest = { offset: 7, length: content.length - 7 };
  await Promise.all(good.map((hasher) => hasher.hashPart(rest, inDigest)));
  for (const hasher of good) {
    assert.equal(await hasher.digest(), createHash('sha256').update(content).digest('hex'));
    await hasher.close();
  }
  assert.equal(first.length, 3);
  assert.equal(reported.length, 1, 'it was counted');
  await bad.close();
});

test('a part that another thread reads again must be unchanged', async () => {
  await using file = await TemporaryFile.create('content of two parts');
  await using threads = new HashThreadPool({ log, program: hanging, timeoutMs: 200 });
  const bad = open(
    threads,
    hangingFile(file.opened, () => {}),
  );
  const unwatched = { ...hangingFile(file.opened, () => {}), normalizedPath: file.opened.normalizedPath };
  const sharing = [open(threads, unwatched), open(threads, unwatched)];
  const inDigest = { ...options, inDigest: true };
  await Promise.all(sharing.map((hasher) => hasher.hashPart(range, inDigest)));
  await writeFile(file.path, 'CONTENT of two parts');
  await assert.rejects(bad.hashPart(range, options), { code: 'read_failed' });
  const outcomes = await Promise.allSettled(sharing.map((hasher) => hasher.digest()));
  const moved = outcomes.filter(({ status }) => status === 'rejected');
  assert.equal(moved.length, 1, 'one of them shared its thread');
  for (const hasher of [bad, ...sharing]) await hasher.close();
});
