import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { ConfigError } from '../config/config-error.ts';
import { sampleAudit, sampleUpload } from '../../../../test/harness/server/sample-upload.ts';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { BackupError, takeBackup } from './backup.ts';

const { signal } = new AbortController();

async function prepareDirectory(t: TestContext) {
  const directory = await mkdtempDisposable(path.join(tmpdir(), 'backhaul-backup-'));
  t.after(() => directory[Symbol.asyncDispose]());
  const databasePath = path.join(directory.path, 'backhaul.sqlite');
  const file = path.join(directory.path, 'copy.sqlite');
  return { directory: directory.path, databasePath, file };
}

/** A closed database that contains the given number of uploads. */
async function stoppedDatabase(databasePath: string, uploads = 1): Promise<void> {
  const store = await openSqliteStore(databasePath);
  await Promise.all(Array.from({ length: uploads }, () => store.insertUpload(sampleUpload(), sampleAudit())));
  await store.close();
}

function refuses(what: 'FILE' | 'DATABASE_URL', message: RegExp) {
  return (error: unknown): true => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.deepEqual(
      error.problems.map(({ setting }) => setting),
      [what],
    );
    assert.match(error.message, message);
    return true;
  };
}

test('a copy of an open store under writes opens as a store with everything written before', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  const store = await openSqliteStore(databasePath);
  const filling = new DatabaseSync(databasePath);
  // Enough for several steps.
  filling.exec('create table filling as select randomblob(20000000) as bytes');
  filling.close();
  const before = Array.from({ length: 200 }, () => sampleUpload());
  await Promise.all(before.map((upload) => store.insertUpload(upload, sampleAudit())));
  const done = new AbortController();
  const taking = takeBackup({ databasePath, file }, { signal }).finally(() => done.abort());
  let meanwhile = 0;
  while (!done.signal.aborted && meanwhile < 5000) {
    await store.insertUpload(sampleUpload(), sampleAudit());
    meanwhile += 1;
  }
  const { sizeBytes } = await taking;
  assert.ok(meanwhile > 1, 'it was written to while the copy was made');
  await store.close();

  const { size, mode } = await stat(file);
  assert.equal(size, sizeBytes);
  if (process.platform !== 'win32') assert.equal(mode & 0o777, 0o600);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.startsWith('copy')),
    ['copy.sqlite'],
  );
  const header = await readFile(file);
  assert.equal(header[19], 1, 'not in WAL mode, so that a WAL file next to it is known to be stale');
  const restored = await openSqliteStore(file);
  for (const { uploadId } of before) assert.ok(await restored.getUpload(uploadId));
  const { length } = await restored.listUploads({ limit: 10_000 });
  assert.ok(length < before.length + meanwhile, 'the state of one moment, which is not the last');
  await restored.close();
});

test('a closed database is copied too, and stays unchanged', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath);
  const before = await readFile(databasePath);
  await takeBackup({ databasePath, file }, { signal });
  assert.deepEqual(await readFile(databasePath), before);
  assert.deepEqual((await readdir(directory)).sort(), [
    'backhaul.sqlite',
    'backhaul.sqlite-lock',
    'copy.sqlite',
  ]);
});

test('an existing file is not touched, not even a dangling symlink', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath);
  await writeFile(file, 'dear');
  const link = path.join(directory, 'link.sqlite');
  await symlink(path.join(directory, 'nowhere'), link);
  for (const taken of [file, link, databasePath, directory]) {
    await assert.rejects(
      takeBackup({ databasePath, file: taken }, { signal }),
      refuses('FILE', /already exists/),
    );
  }
  assert.equal(await readFile(file, 'utf8'), 'dear');
  await assert.rejects(stat(link), { code: 'ENOENT' });
});

test('of two concurrent backups to the same path one is written and the other refused', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath, 1000);
  const results = await Promise.allSettled([
    takeBackup({ databasePath, file }, { signal }),
    takeBackup({ databasePath, file }, { signal }),
  ]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const refused = results.find((result) => result.status === 'rejected');
  refuses('FILE', /already exists/)(refused?.reason);
  await (await openSqliteStore(file)).close();
  assert.ok((await readdir(directory)).every((name) => !name.includes('partial')));
});

test('a missing database is not created, and the message says what to change', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await assert.rejects(
    takeBackup({ databasePath, file }, { signal }),
    refuses('DATABASE_URL', /no database at .*backhaul\.sqlite.*--config.*--dev/),
  );
  assert.deepEqual(await readdir(directory), []);
});

test('a file that is not a Backhaul database is refused', async (t) => {
  const { directory, file } = await prepareDirectory(t);
  const text = path.join(directory, 'notes.txt');
  await writeFile(text, 'Not a database. '.repeat(500));
  const empty = path.join(directory, 'empty');
  await writeFile(empty, '');
  const other = path.join(directory, 'other.sqlite');
  const database = new DatabaseSync(other);
  database.exec('create table uploads (upload_id text)');
  database.close();
  const folder = path.join(directory, 'folder');
  await mkdir(folder);
  for (const databasePath of [text, empty, other, folder]) {
    await assert.rejects(takeBackup({ databasePath, file }, { signal }), refuses('DATABASE_URL', /./));
  }
  assert.deepEqual((await readdir(directory)).sort(), ['empty', 'folder', 'notes.txt', 'other.sqlite']);
});

test('a missing directory is named', async (t) => {
  const { directory, databasePath } = await prepareDirectory(t);
  await stoppedDatabase(databasePath);
  const file = path.join(directory, 'none', 'copy.sqlite');
  await assert.rejects(
    takeBackup({ databasePath, file }, { signal }),
    refuses('FILE', /the directory .*none does not exist; create it/),
  );
});

test('a damaged database is reported and not backed up', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath, 300);
  const bytes = await readFile(databasePath);
  const PAGE = 4096;
  const middle = Math.floor(bytes.length / PAGE / 2) * PAGE;
  await writeFile(databasePath, bytes.fill(0, middle, middle + PAGE));
  await assert.rejects(takeBackup({ databasePath, file }, { signal }), (error: unknown) => {
    assert.ok(error instanceof BackupError, String(error));
    assert.match(error.message, /damaged/);
    return true;
  });
  assert.ok((await readdir(directory)).every((name) => !name.startsWith('copy')));
});

test('an aborted backup leaves no file', async (t) => {
  const { directory, databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath, 20_000);
  const stop = new AbortController();
  const taking = takeBackup({ databasePath, file }, { signal: stop.signal });
  const isThere = async () =>
    (await readdir(directory)).some((name) => name.startsWith('copy.sqlite.partial-'));
  while (!(await isThere()));
  stop.abort(new BackupError('stopped'));
  await assert.rejects(taking, /stopped/);
  assert.ok((await readdir(directory)).every((name) => !name.startsWith('copy')));
});

test('a WAL file of another database is not read', async (t) => {
  const { databasePath, file } = await prepareDirectory(t);
  await stoppedDatabase(databasePath);
  await takeBackup({ databasePath, file }, { signal });
  await writeFile(`${file}-wal`, 'of another');
  await assert.rejects(
    takeBackup({ databasePath: file, file: `${file}-2` }, { signal }),
    refuses('DATABASE_URL', /-wal does not belong to/),
  );
});
