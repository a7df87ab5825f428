import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { StoreError } from '../domain/ports/store.ts';
import { CommitQueue } from './commit-queue.ts';
import { migrations } from './migrations/index.ts';
import { NodeSqliteDatabase } from './node-sqlite-database.ts';
import type { Schema } from './schema.ts';
import { SqlStore } from './sql-store.ts';

/**
 * Opens, or creates, the database file and brings its schema up to date.
 *
 * `synchronous=FULL`, because in WAL mode NORMAL may lose the last commits at a power cut. `locking_mode=
 * EXCLUSIVE`, because two servers on one file would each believe that they own every upload; the operating
 * system lets the lock go when the process dies, however it dies.
 *
 * @throws StoreError when another process has the file open, or it cannot be opened.
 */
export async function openSqliteStore(file: string): Promise<SqlStore> {
  const database = openDatabase(file);
  const db = new Kysely<Schema>({
    dialect: new SqliteDialect({ database: new NodeSqliteDatabase(database) }),
    plugins: [new CamelCasePlugin()],
  });
  try {
    await migrate(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return new SqlStore(new CommitQueue(db), () => db.destroy());
}

function openDatabase(file: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (file !== ':memory:') mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
    database = new DatabaseSync(file);
    database.exec('pragma locking_mode = exclusive');
    database.exec('pragma journal_mode = wal');
    database.exec('pragma synchronous = full');
    database.exec('begin exclusive; commit');
    return database;
  } catch (error) {
    database?.close();
    const reason = error instanceof Error ? error.message : String(error);
    const advice = reason.includes('locked')
      ? 'another process has it open; two servers cannot share one SQLite file. Stop the other, or set DATABASE_URL to another file'
      : `${reason}; check the path and its permissions, or set DATABASE_URL to another file`;
    throw new StoreError(`cannot open the database ${file}: ${advice}`, { cause: error });
  }
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
