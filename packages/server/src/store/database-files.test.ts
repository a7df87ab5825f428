import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtempDisposable, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { takeBackup } from '../backup/take-backup.ts';
import { sampleAudit, sampleUpload } from '../domain/fakes/sample-upload.ts';
import { StoreError } from '../domain/ports/store.ts';
import { openSqliteStore } from './open-sqlite-store.ts';
import type { SqlStore } from './sql-store.ts';

const isWindows = process.platform === 'win32';

async function place(t: TestContext) {
  const directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-files-'));
  t.after(() => directory[Symbol.asyncDispose]());
  return { directory: directory.path, file: path.join(directory.path, 'backhaul.db') };
}

function insert(store: SqlStore): Promise<unknown> {
  return store.insertUpload(sampleUpload(), sampleAudit());
}

interface Loss {
  readonly what: string;
  readonly message: RegExp;
  readonly happen: (file: string) => Promise<void>;
}

const losses: readonly Loss[] = [
  { what: 'the database is removed', message: /backhaul\.db is no longer there/, happen: (file) => rm(file) },
  {
    what: 'the database is renamed',
    message: /backhaul\.db is no longer there/,
    happen: (file) => rename(file, `${file}.old`),
  },
  { what: 'the log is removed', message: /-wal is no longer there/, happen: (file) => rm(`${file}-wal`) },
  {
    what: 'the index of the log is removed',
    message: /-shm is no longer/,
    happen: (file) => rm(`${file}-shm`),
  },
  { what: 'the lock is removed', message: /-lock is no longer there/, happen: (file) => rm(`${file}-lock`) },
  {
    what: 'another database is moved into its place',
    message: /backhaul\.db was replaced/,
    async happen(file) {
      await (await openSqliteStore(`${file}-2`)).close();
      await rename(`${file}-2`, file);
    },
  },
  {
    what: 'an own backup is copied over it',
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
    message: /backhaul\.db is no longer there/,
    happen: (file) => rm(path.dirname(file), { recursive: true }),
  },
];

for (const { what, message, happen } of losses) {
  test(`when ${what}, nothing is accepted, and it is told`, { skip: isWindows }, async (t) => {
    const { file } = await place(t);
    const told = Promise.withResolvers<string | undefined>();
    const store = await openSqliteStore(file, { onFilesChange: told.resolve });
    // Timers of the store alone keep no process running.
    const alive = setInterval(() => {}, 1000);
    try {
      await insert(store);
      await happen(file);
      const isTold = (error: unknown) => error instanceof StoreError && message.test(error.message);
      await assert.rejects(insert(store), isTold);
      await assert.rejects(store.ping(), isTold);
      assert.match((await told.promise) ?? '', message);
      assert.equal((await store.listUploads({ limit: 10 })).length, 1, 'what it has can be read');
    } finally {
      clearInterval(alive);
      await store.close();
    }
  });
}

test('files that come back are written to again', { skip: isWindows }, async (t) => {
  const { file } = await place(t);
  const store = await openSqliteStore(file);
  await rename(file, `${file}.old`);
  await assert.rejects(insert(store), StoreError);
  await rename(`${file}.old`, file);
  await insert(store);
  await store.close();
});

test('a link that leads to another database is noticed', { skip: isWindows }, async (t) => {
  const { directory, file } = await place(t);
  const link = path.join(directory, 'link.db');
  await symlink(file, link);
  const store = await openSqliteStore(link);
  await insert(store);
  await rm(link);
  await writeFile(link, '');
  await assert.rejects(insert(store), /link\.db was replaced/);
  await store.close();
});

test(
  'a log that was removed is written into the database when the store closes',
  { skip: isWindows },
  async (t) => {
    const { file } = await place(t);
    const store = await openSqliteStore(file);
    await insert(store);
    await rm(`${file}-wal`);
    await assert.rejects(insert(store), StoreError);
    await store.close();
    const again = await openSqliteStore(file);
    assert.equal((await again.listUploads({ limit: 10 })).length, 1);
    await again.close();
  },
);

test(
  'the files are their owner’s only, whatever the umask, also those of before',
  { skip: isWindows },
  async (t) => {
    const { file } = await place(t);
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
