import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../config/config-error.ts';
import { hasStaleWal } from '../store/database-files.ts';
import { isBusy } from '../store/sqlite-dialect.ts';
import { BackupError } from './backup-error.ts';

/** Another program may be about to close it. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens a Backhaul database and starts a read transaction: later writes are not visible to this connection.
 *
 * @throws ConfigError if there is none; BackupError while it is locked.
 */
export function openSource(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      throw unusable(
        `there is no database at ${path}. Use the server’s DATABASE_URL, --config or --dev, or run this in its working directory`,
      );
    }
    if (hasStaleWal(path)) {
      throw unusable(`${path}-wal does not belong to ${path}. Start the server once, which removes it`);
    }
    // Must not create it. Not opened read-only either, which would leave the WAL file of a stopped server behind.
    const address = pathToFileURL(path);
    address.searchParams.set('mode', 'rw');
    database = new DatabaseSync(address, { timeout: BUSY_TIMEOUT_MS });
    database.exec('begin');
    if (!isOfBackhaul(database)) throw unusable(`${path} is not a Backhaul database`);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof ConfigError) throw error;
    if (isBusy(error)) {
      throw new BackupError(`another program has locked ${path}; try again later`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw unusable(`${path} cannot be read: ${reason}; check the path and its permissions`, error);
  }
}

function isOfBackhaul(database: DatabaseSync): boolean {
  const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all();
  const names = new Set(tables.map(({ name }) => name));
  return ['kysely_migration', 'clients', 'uploads', 'upload_parts', 'sessions'].every((name) =>
    names.has(name),
  );
}

function unusable(reason: string, cause?: unknown): ConfigError {
  return new ConfigError([{ setting: 'DATABASE_URL', message: `DATABASE_URL: ${reason}.` }], { cause });
}
