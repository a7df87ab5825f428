import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../config/config-error.ts';
import { hasForeignWal } from '../store/foreign-wal.ts';
import { isBusy } from '../store/sqlite-error.ts';
import { BackupError } from './backup-error.ts';

/** Another program may be about to finish with it. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens a database of Backhaul and begins to read it: what others write from here on, this connection does not see.
 *
 * @throws ConfigError where there is none; BackupError while it is locked.
 */
export function openSource(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      throw unusable(
        `there is no database at ${path}. Set DATABASE_URL as it is set for the server, or give its --config or --dev, or run this in its working directory`,
      );
    }
    if (hasForeignWal(path)) {
      throw unusable(
        `${path}-wal belongs to another database than ${path}. Start the server once, which removes it`,
      );
    }
    // Not to be created. Nor opened to be read only, which would leave the log of a stopped server behind.
    const address = pathToFileURL(path);
    address.searchParams.set('mode', 'rw');
    database = new DatabaseSync(address, { timeout: BUSY_TIMEOUT_MS });
    database.exec('begin');
    if (!isOfBackhaul(database)) throw unusable(`${path} is not a database of Backhaul`);
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
