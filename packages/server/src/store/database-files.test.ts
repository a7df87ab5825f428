import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtempDisposable, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { takeBackup } from '../operations/backup.ts';
import { sampleAudit, sampleUpload } from '../../../../test/harness/server/sample-upload.ts';
import { type Store, StoreError } from '../domain/ports/store.ts';
import { openSqliteStore } from './open-sqlite-store.ts';

const isWindows = process.platform === 'win32';

async function prepareDirectory(t: TestContext) {
  const directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-files-'));
  t.after(() => directory[Symbol.asyncDispose]());
  return { directory: directory.path, file: path.join(directory.path, 'backhaul.db') };
}

function insert(store: Store): Promise<unknown> {
  return store.insertUpload(sampleUpload(), sampleAudit());
}

interface Loss {
  readonly what: string;
  readonly message: RegExp;
  readonly happen: (file: string) => Promise<void>;
}

const losses: readonly Loss[] = [
  { what: 'the database is removed', message: /backhaul\.db no longer exists/, happen: (file) => rm(file) },
  {
    what: 'the database is renamed',
    message: /backhaul\.db no longer exists/,
    happen: (file) => rename(file, `${file}.old`),
  },
  { what: 'the log is removed', message: /-wal no longer exists/, happen: (file) => rm(`${file}-wal`) },
  {
    what: 'the index of the log is removed',
    message: /-shm no longer exists/,
    happen: (file) => rm(`${file}-shm`),
  },
  { what: 'the lock is removed', message: /-lock no longer exists/, happen: (file) => rm(`${file}-lock`) },
  {
    what: 'another database is moved to its path',
    message: /backhaul\.db was replaced/,
    async happen(file) {
      await (await openSqliteStore(`${file}-2`)).close();
      await rename(`${file}-2`, file);
    },
  },
  {
    what: 'its own backup is copied over it',
    message: /backhaul\.db was overwritten/,
    async happen(file) {
      await takeBackup(
        { databasePath: file, file: `${file}.copy` },
        { signal: new AbortController().signal },
      );
      await copyFile(`${file}.copy`, file);
    },
  },
  {
    what: 'another database in WAL mode is copied over it',
    message: /backhaul\.db was overwritten/,
    async happen(file) {
      await (await openSqliteStore(`${file}-2`)).close();
      await copyFile(`${file}-2`, file);
    },
  },
  {
    what: 'it is emptied',
    message: /backhaul\.db was overwritten/,
    happen: (file) => writeFile(file, ''),
  },
  {
    what: 'its directory is removed',
    message: /backhaul\.db no longer exists/,
    happen: (file) => rm(path.dirname(file), { recursive: true }),
  },
];

for (const { what, message, happen } of losses) {
  test(`when ${what}, writes are refused and the problem is reported`, { skip: isWindows }, async (t) => {
    const { file } = await prepareDirectory(t);
    const reported = Promise.withResolvers<string | undefined>();
    const store = await openSqliteStore(file, { onFilesChange: reported.resolve });
    // Timers of the store alone keep no process running.
    const alive = setInterval(() => {}, 1000);
    try {
      await insert(store);
      await happen(file);
      const isTold = (error: unknown) => error instanceof StoreError && message.test(error.message);
      await assert.rejects(insert(store), isTold);
      await assert.rejects(store.ping(), isTold);
      assert.match((await reported.promise) ?? '', message);
      assert.equal((await store.listUploads({ limit: 10 })).length, 1, 'reads still work');
    } finally {
      clearInterval(alive);
      await store.close();
    }
  });
}

test('restored files are written to again', { skip: isWindows }, async (t) => {
  const { file } = await prepareDirectory(t);
  const store = await openSqliteStore(file);
  await rename(file, `${file}.old`);
  await assert.rejects(insert(store), StoreError);
  await rename(`${file}.old`, file);
  await insert(store);
  await store.close();
});

test('a symlink to another database is noticed', { skip: isWindows }, async (t) => {
  const { directory, file } = await prepareDirectory(t);
  const link = path.join(directory, 'link.db');
  await symlink(file, link);
  const store = await openSqliteStore(link);
  await insert(store);
  await rm(link);
  await writeFile(link, '');
  await assert.rejects(insert(store), /link\.db was replaced/);
  await store.close();
});

test('a removed log is written into the database when the store closes', { skip: isWindows }, async (t) => {
  const { file } = await prepareDirectory(t);
  const store = await openSqliteStore(file);
  await insert(store);
  await rm(`${file}-wal`);
  await assert.rejects(insert(store), StoreError);
  await store.close();
  const again = await openSqliteStore(file);
  assert.equal((await again.listUploads({ limit: 10 })).length, 1);
  await again.close();
});

test(
  'the files are private to their owner, whatever the umask, including existing ones',
  { skip: isWindows },
  async (t) => {
    const { file } = await prepareDirectory(t);
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    const modes = () =>
      Promise.all(['', '-wal', '-shm', '-lock'].map(async (end) => (await stat(file + end)).mode & 0o777));
    const store = await openSqliteStore(file);
    assert.deepEqual(await modes(), [0o600, 0o600, 0o600, 0o600]);
    await insert(store);
    for (const ending of ['', '-wal', '-shm', '-lock']) await copyFile(file + ending, `${file}-old${ending}`);
    await store.close();
    for (const ending of ['', '-wal', '-shm', '-lock']) {
      await rename(`${file}-old${ending}`, file + ending);
      await chmod(file + ending, 0o644);
    }
    const again = await openSqliteStore(file);
    assert.deepEqual(await modes(), [0o600, 0o600, 0o600, 0o600]);
    await again.close();
  },
);
