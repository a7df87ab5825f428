import { statSync } from 'node:fs';
import { chmod, lstat, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { logStyle } from '../config/load-config.ts';
import type { BackupConfig } from '../config/backup-config.ts';
import { ConfigError } from '../config/config-error.ts';
import { createLogger } from '../log.ts';
import { isBusy } from '../store/sqlite-dialect.ts';
import { hasStaleWal } from '../store/database-files.ts';

/** Another program may be about to close it. */
const BUSY_TIMEOUT_MS = 5000;
/** 4 MiB; signals are handled between two steps. */
const PAGES_A_STEP = 1024;

/** The backup failed for a reason other than a usage mistake: a full disk, a signal, a damaged database. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/**
 * Runs `backhaul-server backup`. Prints one line on standard output: plain text with `--dev` or on a terminal,
 * otherwise in the log's format.
 *
 * @throws ConfigError, BackupError; no FILE exists then.
 */
export async function runBackup(
  { dev, databasePath: database, file }: BackupConfig,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const startedAt = performance.now();
  const { sizeBytes } = await takeBackup({ databasePath: database, file }, { signal });
  const durationMs = Math.round(performance.now() - startedAt);
  const { format, toJournal } = logStyle('auto', 1);
  if (dev || format === 'human') {
    process.stdout.write(`Backed up ${database} to ${file}: ${sizeBytes} bytes in ${durationMs} ms.\n`);
  } else {
    const log = createLogger({ level: 'info', fileDescriptor: 1, format, toJournal });
    log.info({ database, file, sizeBytes, durationMs }, 'backup written');
  }
}

/**
 * Writes a consistent copy of a database, which a server may have open and be writing to.
 *
 * @param paths.file Afterwards it exists completely, synced to disk, or not at all. It is never overwritten.
 * @returns its size.
 * @throws ConfigError if a path must change; BackupError for any other failure, including an abort.
 */
export async function takeBackup(
  { databasePath, file }: { databasePath: string; file: string },
  { signal }: { signal: AbortSignal },
): Promise<{ sizeBytes: number }> {
  if (await exists(file)) throw alreadyThere(file);
  using source = openSource(databasePath);
  const drafts = await makeDraftDirectory(file);
  try {
    const draft = join(drafts, 'backup.sqlite');
    await writeSnapshot(source, draft, { signal });
    await chmod(draft, 0o600);
    await sync(draft);
    const { size: sizeBytes } = await lstat(draft);
    await putInPlace(draft, file);
    return { sizeBytes };
  } catch (error) {
    if (error instanceof ConfigError || error instanceof BackupError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackupError(`no backup was written to ${file}: ${reason}`, { cause: error });
  } finally {
    await rm(drafts, { recursive: true, force: true });
  }
}

/**
 * Opens a Backhaul database and starts a read transaction: later writes are not visible to this connection.
 *
 * @throws ConfigError if there is none; BackupError while it is locked.
 */
function openSource(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      throw unusable(
        'DATABASE_URL',
        `there is no database at ${path}. Use the server’s DATABASE_URL, --config or --dev, or run this in its working directory`,
      );
    }
    if (hasStaleWal(path)) {
      throw unusable(
        'DATABASE_URL',
        `${path}-wal does not belong to ${path}. Start the server once, which removes it`,
      );
    }
    // Must not create it. Not opened read-only either, which would leave the WAL file of a stopped server behind.
    const address = pathToFileURL(path);
    address.searchParams.set('mode', 'rw');
    database = new DatabaseSync(address, { timeout: BUSY_TIMEOUT_MS });
    database.exec('begin');
    if (!isOfBackhaul(database)) throw unusable('DATABASE_URL', `${path} is not a Backhaul database`);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof ConfigError) throw error;
    if (isBusy(error)) {
      throw new BackupError(`another program has locked ${path}; try again later`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw unusable(
      'DATABASE_URL',
      `${path} cannot be read: ${reason}; check the path and its permissions`,
      error,
    );
  }
}

function isOfBackhaul(database: DatabaseSync): boolean {
  const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all();
  const names = new Set(tables.map(({ name }) => name));
  return ['kysely_migration', 'clients', 'uploads', 'upload_parts', 'sessions'].every((name) =>
    names.has(name),
  );
}

/**
 * Copies a database as of the moment `source` started to read, and checks the copy.
 *
 * @param source In a transaction; without one, a write by another process would restart the copy.
 * @param target Must not exist. If this throws, files with that name and a suffix may be left next to it.
 * @throws BackupError for a damaged database; the signal's reason; SQLite's error.
 */
async function writeSnapshot(
  source: DatabaseSync,
  target: string,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  await backup(source, target, { rate: PAGES_A_STEP, progress: () => signal.throwIfAborted() });
  signal.throwIfAborted();
  const copy = new DatabaseSync(target);
  try {
    // The copy is one self-contained file, and no WAL file can belong to it.
    copy.exec('pragma journal_mode = delete');
    const problems = copy.prepare('pragma integrity_check(1)').all();
    const finding = String(problems[0]?.['integrity_check']);
    if (finding !== 'ok') throw new BackupError(`the database is damaged: ${finding}`);
  } finally {
    copy.close();
  }
  signal.throwIfAborted();
}

/**
 * For the draft and the files SQLite creates next to it. Private, because SQLite creates files with the umask's mode.
 */
async function makeDraftDirectory(file: string): Promise<string> {
  try {
    return await mkdtemp(`${file}.partial-`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw unusable(
        'FILE',
        `the directory ${dirname(file)} does not exist; create it, or choose another FILE`,
        error,
      );
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw unusable('FILE', `${dirname(file)} is not writable (${code}); choose another FILE`, error);
    }
    throw new BackupError(`no backup was written to ${file}: ${code}`, { cause: error });
  }
}

/** A plain rename would replace a file created in the meantime. */
async function putInPlace(draft: string, file: string): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close();
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? alreadyThere(file, error) : error;
  }
  try {
    await rename(draft, file);
  } catch (error) {
    await rm(file);
    throw error;
  }
  // Windows cannot open directories; NTFS journals its metadata itself.
  if (process.platform !== 'win32') await sync(dirname(file));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    // Other problems show up when it is written.
    return false;
  }
}

function alreadyThere(file: string, cause?: unknown): ConfigError {
  return unusable('FILE', `${file} already exists and is not overwritten; choose another FILE`, cause);
}

function unusable(setting: 'FILE' | 'DATABASE_URL', reason: string, cause?: unknown): ConfigError {
  return new ConfigError([{ setting, message: `${setting}: ${reason}.` }], { cause });
}
