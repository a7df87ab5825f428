import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { appendFile, mkdir, open, rename, rmdir, truncate, writeFile } from 'node:fs/promises';
import { after, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { replaceInFile } from '../../../../test/harness/agent/hashed-file.ts';
import { TemporaryFile } from '../../../../test/harness/agent/temporary-file.ts';
import { createLog } from '../log.ts';
import { crc32Base64 } from './checksums.ts';
import { HashThreadPool } from './hash-thread-pool.ts';
import { type FileHasher, type HashedFile, Hashers, LocalHasher } from './hashers.ts';
import { BufferPool } from './slices.ts';
import { ThreadHasher } from './thread-hasher.ts';

const MiB = 1024 * 1024;
const TiB = 1024 ** 4;
const log = createLog({ level: 'silent', format: 'json', write: () => {} });
const threads = new HashThreadPool({ log });
after(() => threads.close());
const plain = { mode: 'crc32', inDigest: false, signal: AbortSignal.timeout(60_000) } as const;

const kinds: ReadonlyArray<{ where: string; hasherOf: (file: HashedFile) => FileHasher }> = [
  {
    where: 'in a thread',
    hasherOf: (file) => threads.open(file) ?? assert.fail('there is no thread'),
  },
  { where: 'on the main thread', hasherOf: (file) => new LocalHasher(file, new BufferPool(2)) },
];

for (const { where, hasherOf } of kinds) {
  describe(`a file that is hashed ${where}`, () => {
    test('returns the checksums of each part in its mode, and the digest of the whole file', async () => {
      const content = randomBytes(3 * MiB + 5);
      await using file = await TemporaryFile.create(content);
      await using hasher = hasherOf(file.opened);
      const [one, two] = [content.subarray(0, 2 * MiB), content.subarray(2 * MiB)];
      const inDigest = { ...plain, inDigest: true };
      // Requested at the same time.
      const [crc, sha256, md5, none, digest] = await Promise.all([
        hasher.hashPart({ offset: 0, length: one.length }, inDigest),
        hasher.hashPart({ offset: one.length, length: two.length }, { ...inDigest, mode: 'sha256' }),
        hasher.hashPart({ offset: one.length, length: two.length }, { ...plain, mode: 'md5' }),
        hasher.hashPart({ offset: 7, length: 0 }, { ...plain, mode: 'none' }),
        hasher.digest(),
      ]);
      assert.deepEqual(crc, { crc32: crc32Base64(crc32(one)) });
      const crcOfTwo = crc32Base64(crc32(two));
      assert.deepEqual(sha256, {
        crc32: crcOfTwo,
        sha256: createHash('sha256').update(two).digest('base64'),
      });
      assert.deepEqual(md5, { crc32: crcOfTwo, md5: createHash('md5').update(two).digest('base64') });
      assert.deepEqual(none, { crc32: 'AAAAAA==' });
      assert.equal(digest, createHash('sha256').update(content).digest('hex'));
    });

    test('fails with file_changed if the file is truncated, grows or is replaced meanwhile', async () => {
      for (const change of [
        (path: string) => truncate(path, 2),
        (path: string) => appendFile(path, 'more'),
        (path: string) => writeFile(`${path}.new`, 'content').then(() => rename(`${path}.new`, path)),
      ]) {
        await using file = await TemporaryFile.create('content');
        await using hasher = hasherOf(file.opened);
        await hasher.hashPart({ offset: 0, length: 7 }, plain);
        await change(file.path);
        await assert.rejects(hasher.hashPart({ offset: 0, length: 7 }, plain), { code: 'file_changed' });
      }
    });

    test('fails if the file is too short, even if size and times are unchanged', async () => {
      await using file = await TemporaryFile.create('content');
      await using hasher = hasherOf(replaceInFile(file.opened, { fd: file.opened.fd }));
      await assert.rejects(hasher.hashPart({ offset: 0, length: 8 }, plain), { code: 'file_changed' });
    });

    test(
      'delays neither an abort nor the close, whatever the size of the file',
      { timeout: 20_000 },
      async () => {
        await using file = await TemporaryFile.create('', TiB);
        const stop = new AbortController();
        const hasher = hasherOf(file.opened);
        const waiting = hasher.hashPart({ offset: 0, length: TiB }, plain);
        const ended = assert.rejects(waiting);
        const queued = hasher.hashPart({ offset: 0, length: 1 }, { ...plain, signal: stop.signal });
        stop.abort(new Error('stopped'));
        await assert.rejects(queued, { message: 'stopped' });
        // Reading everything would take minutes; the timeout of the test is the assertion.
        await hasher.close();
        await hasher.close();
        await ended;
        await assert.rejects(hasher.hashPart({ offset: 0, length: 1 }, plain));
      },
    );
  });
}

test('errors of the operating system keep their code', async () => {
  await using file = await TemporaryFile.create('content');
  const directory = `${file.path}.d`;
  await mkdir(directory);
  const handle = await open(directory);
  const hasher =
    threads.open(replaceInFile(file.opened, { fd: handle.fd })) ?? assert.fail('no thread is available');
  const hashed = hasher.hashPart({ offset: 0, length: 7 }, plain);
  await assert.rejects(hashed, (error: Error & { code?: string }) => {
    const cause = error.cause as NodeJS.ErrnoException;
    return cause.code === 'EISDIR' && error.code === 'not_a_file';
  });
  await hasher.close();
  await handle.close();
  await rmdir(directory);
});

test('a small file is hashed on the main thread', async () => {
  await using small = await TemporaryFile.create('', 16 * MiB - 1);
  await using large = await TemporaryFile.create('', 16 * MiB);
  await using hashers = new Hashers({ log, buffers: new BufferPool(2) });
  await using one = hashers.open(small.opened);
  await using other = hashers.open(large.opened);
  assert.ok(one instanceof LocalHasher);
  assert.ok(other instanceof ThreadHasher);
});

test('without a thread a large file is hashed on the main thread', async () => {
  await using file = await TemporaryFile.create('content', 16 * MiB);
  const program = new URL('data:text/javascript,throw new Error("no such thread")');
  const lines: string[] = [];
  const warnings = createLog({ level: 'warn', format: 'json', write: (line) => lines.push(line) });
  await using hashers = new Hashers({ log: warnings, buffers: new BufferPool(2), program });
  const part = { offset: 0, length: 7 };
  await using first = hashers.open(file.opened);
  await assert.rejects(first.hashPart(part, plain), { code: 'agent_busy' });
  await using second = hashers.open(file.opened);
  assert.deepEqual(await second.hashPart(part, plain), { crc32: crc32Base64(crc32('content')) });
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /no such thread.*worker thread unavailable/);
});
