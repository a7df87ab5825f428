import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { TemporaryFile } from '../fakes/temporary-file.ts';
import { createLog } from '../log.ts';
import { HashThreads } from './hash-threads.ts';

const log = createLog({ level: 'silent', format: 'json', write: () => {} });
const signal = AbortSignal.timeout(60_000);
const options = { mode: 'crc32', inDigest: false, signal } as const;
const range = { offset: 0, length: 7 };

test('each file has a thread to itself, which serves the next one after it', async () => {
  await using file = await TemporaryFile.create('content');
  await using threads = new HashThreads({ log });
  assert.equal(threads.count, 0, 'none is started before there is a file');
  const [one, two] = [threads.open(file.opened), threads.open(file.opened)];
  assert.equal(threads.count, 2);
  const checksums = await one.hashPart(range, options);
  assert.deepEqual(await two.hashPart(range, options), checksums);
  await one.close();
  const three = threads.open(file.opened);
  assert.deepEqual(await three.hashPart(range, options), checksums);
  assert.equal(threads.count, 2);
  await two.close();
  await three.close();
});

test('a thread that nobody needs any more ends after a while', async () => {
  await using file = await TemporaryFile.create('content');
  await using threads = new HashThreads({ log, idleMs: 1 });
  const hasher = threads.open(file.opened);
  await hasher.hashPart(range, options);
  assert.equal(threads.count, 1);
  await hasher.close();
  while (threads.count > 0) {
    signal.throwIfAborted();
    await delay(1);
  }
});

test('the end of its thread is an error for who waits, and the file can be closed', async () => {
  await using file = await TemporaryFile.create('content', 1024 ** 4);
  const threads = new HashThreads({ log });
  const hasher = threads.open(file.opened);
  const waiting = hasher.hashPart({ offset: 0, length: 1024 ** 4 }, options);
  const rejected = assert.rejects(waiting, { message: 'the thread that hashes has ended' });
  await threads.close();
  await rejected;
  await hasher.close();
  assert.equal(threads.count, 0);
});
