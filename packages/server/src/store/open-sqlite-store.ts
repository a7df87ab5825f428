import { closeSync, existsSync, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { StoreError, type Store } from '../domain/ports/store.ts';
import { FileLock, FileLockHeld } from '../file-lock.ts';
import { CommitQueue } from './commit-queue.ts';
import { DatabaseFiles, removeStaleWal } from './database-files.ts';
import { migrations } from './migrations.ts';
import { isBusy, NodeSqliteDatabase } from './sqlite-dialect.ts';
import type { Schema } from './schema.ts';
import { createSqlStore } from './sql-store.ts';

/** Interval of checking the database's files, in addition to each commit. */
const FILES_INTERVAL_MS = 2000;
/** Other programs may read, and one may be writing. After opening, the queue does the waiting. */
const OPEN_TIMEOUT_MS = 5000;

export interface OpenOptions {
  /** Called within seconds when the database's files are no longer the opened ones, and when they are again. */
  readonly onFilesChange?: (problem: string | undefined) => void;
}

/**
 * Opens, or creates, the database file and brings its schema up to date.
 *
 * `synchronous=FULL`, because in WAL mode NORMAL may lose the last commits at a power cut. The lock file next to it,
 * because two servers on one file would each assume that they own every upload; other programs may read it.
 *
 * @throws StoreError when another server has the file open, or it cannot be opened.
 */
export async function openSqliteStore(file: string, options: OpenOptions = {}): Promise<Store> {
  const { database, lock, files } = openDatabase(file);
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    plugins: [new CamelCasePlugin()],
  });
  const close = async (): Promise<void> => {
    clearInterval(watch);
    // In this sequence: the next holder of the lock finds the file closed.
    if (files?.isOverwritten() === true) {
      // The last close writes the log into the file, and would damage its replacement, most likely a backup. Node.js
      // closes open databases at its end, unless it exits explicitly.
      process.once('beforeExit', () => process.exit());
    } else {
      await db.destroy();
      files?.[Symbol.dispose]();
    }
    lock?.[Symbol.dispose]();
  };
  let watch: NodeJS.Timeout | undefined;
  try {
    await migrate(db);
    files?.remember(database);
    database.exec('pragma busy_timeout = 0');
  } catch (error) {
    await close();
    throw error;
  }
  if (files !== undefined) watch = watchFiles(files, options);
  return createSqlStore(new CommitQueue(db, { beforeCommit: () => files?.assertIntact() }), close);
}

function watchFiles(files: DatabaseFiles, { onFilesChange = () => {} }: OpenOptions): NodeJS.Timeout {
  let known: string | undefined;
  return setInterval(() => {
    const problem = files.problem();
    if (problem !== known) onFilesChange(problem);
    known = problem;
  }, FILES_INTERVAL_MS).unref();
}

interface Opened {
  readonly database: DatabaseSync;
  /** These two are undefined for a database in memory. */
  readonly lock: FileLock | undefined;
  readonly files: DatabaseFiles | undefined;
}

function openDatabase(file: string): Opened {
  let lock: FileLock | undefined;
  let files: DatabaseFiles | undefined;
  let database: DatabaseSync | undefined;
  try {
    if (file !== ':memory:') {
      requireDirectory(path.dirname(path.resolve(file)));
      lock = lockDatabase(file);
      removeStaleWal(file);
      files = new DatabaseFiles(file);
    }
    database = new DatabaseSync(file, { timeout: OPEN_TIMEOUT_MS });
    database.exec('pragma journal_mode = wal');
    database.exec('pragma synchronous = full');
    return { database, lock, files };
  } catch (error) {
    database?.close();
    files?.[Symbol.dispose]();
    lock?.[Symbol.dispose]();
    throw new StoreError(`cannot open the database ${file}: ${adviceFor(error)}`, { cause: error });
  }
}

/** Creating the directory would hide a mistake in the path, or an unmounted disk, behind an empty database. */
function requireDirectory(directory: string): void {
  if (!existsSync(directory))
    throw new Error(`the directory ${directory} does not exist; create it if the path is right`);
}

/** Under the real path of the file, so that one file has one lock. */
function lockDatabase(file: string): FileLock {
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
  return new FileLock(`${realpathSync(file)}-lock`);
}

function adviceFor(error: unknown): string {
  if (error instanceof FileLockHeld) {
    return 'another process has it open; two servers cannot share one SQLite file. Stop the other server, or set DATABASE_URL to another file';
  }
  if (isBusy(error)) {
    return 'another program has locked it. Stop that program, or set DATABASE_URL to another file';
  }
  const reason = error instanceof Error ? error.message : String(error);
  return `${reason}; check the path and its permissions, or set DATABASE_URL to another file`;
}

async function migrate(db: Kysely<Schema>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const reason = error instanceof Error ? error.message : 'the migration failed';
    throw new StoreError(
      `the database schema could not be brought up to date: ${reason}. If a newer server wrote it, run that version, or set DATABASE_URL to another file`,
      { cause: error },
    );
  }
}
