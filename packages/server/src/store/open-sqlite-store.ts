import { closeSync, existsSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { StoreError } from '../domain/ports/store.ts';
import { FileLock, FileLockHeld } from '../file-lock.ts';
import { CommitQueue } from './commit-queue.ts';
import { removeForeignWal } from './foreign-wal.ts';
import { migrations } from './migrations/index.ts';
import { NodeSqliteDatabase } from './node-sqlite-database.ts';
import type { Schema } from './schema.ts';
import { SqlStore } from './sql-store.ts';
import { isBusy } from './sqlite-error.ts';

/** Other programs may read, and a write of theirs may be under way. Afterwards it is the queue that waits. */
const OPEN_TIMEOUT_MS = 5000;

/**
 * Opens, or creates, the database file and brings its schema up to date.
 *
 * `synchronous=FULL`, because in WAL mode NORMAL may lose the last commits at a power cut. The lock beside the file,
 * because two servers on one file would each believe that they own every upload; other programs may read it.
 *
 * @throws StoreError when another server has the file open, or it cannot be opened.
 */
export async function openSqliteStore(file: string): Promise<SqlStore> {
  const { database, lock } = openDatabase(file);
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    plugins: [new CamelCasePlugin()],
  });
  const close = async (): Promise<void> => {
    // In this order: whoever gets the lock finds the file closed.
    await db.destroy();
    lock?.[Symbol.dispose]();
  };
  try {
    await migrate(db);
    database.exec('pragma busy_timeout = 0');
  } catch (error) {
    await close();
    throw error;
  }
  return new SqlStore(new CommitQueue(db), close);
}

function openDatabase(file: string): { database: DatabaseSync; lock: FileLock | undefined } {
  let lock: FileLock | undefined;
  let database: DatabaseSync | undefined;
  try {
    if (file !== ':memory:') {
      lock = lockDatabase(file);
      removeForeignWal(file);
    }
    database = new DatabaseSync(file, { timeout: OPEN_TIMEOUT_MS });
    database.exec('pragma journal_mode = wal');
    database.exec('pragma synchronous = full');
    return { database, lock };
  } catch (error) {
    database?.close();
    lock?.[Symbol.dispose]();
    throw new StoreError(`cannot open the database ${file}: ${adviceFor(error)}`, { cause: error });
  }
}

/** Under the name that the file has behind all symbolic links, so that one file has one lock. */
function lockDatabase(file: string): FileLock {
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o644));
  return new FileLock(`${realpathSync(file)}-lock`);
}

function adviceFor(error: unknown): string {
  if (error instanceof FileLockHeld) {
    return 'another process has it open; two servers cannot share one SQLite file. Stop the other, or set DATABASE_URL to another file';
  }
  if (isBusy(error)) {
    return 'another program has locked it. End that program, or set DATABASE_URL to another file';
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
      `the database schema could not be brought up to date: ${reason}. If a newer server wrote it, run that one, or set DATABASE_URL to another file`,
      { cause: error },
    );
  }
}
