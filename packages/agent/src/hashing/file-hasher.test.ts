import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { appendFile, mkdir, open, rename, rmdir, truncate, writeFile } from 'node:fs/promises';
import test, { after } from 'node:test';
import { crc32 } from 'node:zlib';
import { TemporaryFile } from '../fakes/temporary-file.ts';
import { createLog } from '../log.ts';
import { crc32Base64 } from './crc32-base64.ts';
import { HashThreads } from './hash-threads.ts';

const MiB = 1024 * 1024;
const TiB = 1024 ** 4;
const log = createLog({ level: 'silent', format: 'json', write: () => {} });
const threads = new HashThreads({ log });
after(() => threads.close());
const plain = { mode: 'crc32', inDigest: false, signal: AbortSignal.timeout(60_000) } as const;

test('parts have the checksums of their mode, and the digest is of all that went into it', async () => {
  const content = randomBytes(3 * MiB + 5);
  await using file = await TemporaryFile.create(content);
  await using hasher = threads.open(file.opened);
  const [one, two] = [content.subarray(0, 2 * MiB), content.subarray(2 * MiB)];
  const inDigest = { ...plain, inDigest: true };
  // Asked at once, without waiting for one another.
  const [crc, sha256, md5, none, digest] = await Promise.all([
    hasher.hashPart({ offset: 0, length: one.length }, inDigest),
    hasher.hashPart({ offset: one.length, length: two.length }, { ...inDigest, mode: 'sha256' }),
    hasher.hashPart({ offset: one.length, length: two.length }, { ...plain, mode: 'md5' }),
    hasher.hashPart({ offset: 7, length: 0 }, { ...plain, mode: 'none' }),
    hasher.digest(),
  ]);
  assert.deepEqual(crc, { crc32: crc32Base64(crc32(one)) });
  const crcOfTwo = crc32Base64(crc32(two));
  assert.deepEqual(sha256, { crc32: crcOfTwo, sha256: createHash('sha256').update(two).digest('base64') });
  assert.deepEqual(md5, { crc32: crcOfTwo, md5: createHash('md5').update(two).digest('base64') });
  assert.deepEqual(none, { crc32: 'AAAAAA==' });
  assert.equal(digest, createHash('sha256').update(content).digest('hex'));
});

test('a file that ends too soon, grows or is replaced meanwhile is file_changed', async () => {
  for (const change of [
    (path: string) => truncate(path, 2),
    (path: string) => appendFile(path, 'more'),
    (path: string) => writeFile(`${path}.new`, 'content').then(() => rename(`${path}.new`, path)),
  ]) {
    await using file = await TemporaryFile.create('content');
    await using hasher = threads.open(file.opened);
    await hasher.hashPart({ offset: 0, length: 7 }, plain);
    await change(file.path);
    await assert.rejects(hasher.hashPart({ offset: 0, length: 7 }, plain), { code: 'file_changed' });
  }
});

test('a file that ends too soon is so whatever its size and times say', async () => {
  await using file = await TemporaryFile.create('content');
  const { fd, place } = file.opened;
  const endedEarly = () => file.opened.endedEarly();
  const readFailed = (error: unknown) => file.opened.readFailed(error);
  await using hasher = threads.open({ fd, place, endedEarly, readFailed, requireUnchanged: () => {} });
  await assert.rejects(hasher.hashPart({ offset: 0, length: 8 }, plain), { code: 'file_changed' });
});

test('what the operating system says keeps its code on the way from the thread', async () => {
  await using file = await TemporaryFile.create('content');
  const directory = `${file.path}.d`;
  await mkdir(directory);
  const handle = await open(directory);
  const hasher = threads.open({
    fd: handle.fd,
    place: directory,
    requireUnchanged: () => {},
    readFailed: (error) => file.opened.readFailed(error),
    endedEarly: () => file.opened.endedEarly(),
  });
  await assert.rejects(hasher.hashPart({ offset: 0, length: 7 }, plain), (error: Error) => {
    const { cause } = error;
    return (
      cause instanceof Error &&
      'code' in cause &&
      cause.code === 'EISDIR' &&
      'code' in error &&
      error.code === 'not_a_file'
    );
  });
  await hasher.close();
  await handle.close();
  await rmdir(directory);
});

test('a part of any size neither holds up an abort nor the close', { timeout: 20_000 }, async () => {
  await using file = await TemporaryFile.create('', TiB);
  const stop = new AbortController();
  const hasher = threads.open(file.opened);
  const waiting = hasher.hashPart({ offset: 0, length: TiB }, { ...plain, signal: stop.signal });
  const queued = assert.rejects(hasher.digest(), { message: 'the thread that hashes has ended' });
  stop.abort(new Error('stopped'));
  await assert.rejects(waiting, { message: 'stopped' });
  // All of it would take minutes; the deadline of the test is the assertion.
  await hasher.close();
  await hasher.close();
  await queued;
  await assert.rejects(hasher.hashPart({ offset: 0, length: 1 }, plain), /has ended/);
});
