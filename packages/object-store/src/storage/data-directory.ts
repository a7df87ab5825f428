import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { syncDirectory } from './durable-file.ts';

/** SQLite may create a journal with the same name and a suffix. */
const LOCK_FILE = 'lock.sqlite';

/** Another process is using the data directory. */
export class DataDirectoryInUse extends Error {
  readonly dataDir: string;

  constructor(dataDir: string, cause: unknown) {
    super(
      `The data directory ${dataDir} is in use by another backhaul-object-store. Stop it, or use another --data directory.`,
      { cause },
    );
    this.name = 'DataDirectoryInUse';
    this.dataDir = dataDir;
  }
}

/**
 * Locks a data directory for this process. An exclusive transaction of SQLite is an operating system lock on the file,
 * so it always ends with the process: there are no stale locks and no checks of process ids. Node.js has no other API
 * for such locks.
 */
export class DataDirectoryLock implements Disposable {
  readonly #database: DatabaseSync;

  constructor(dataDir: string) {
    this.#database = new DatabaseSync(join(dataDir, LOCK_FILE), { timeout: 0 });
    try {
      this.#database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      this.#database.close();
      const SQLITE_BUSY = 5;
      if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
        throw new DataDirectoryInUse(dataDir, error);
      }
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

const FORMAT = JSON.stringify({ format: 1 });
const FORMAT_FILE = 'format.json';
const STAGED_FORMAT_FILE = 'format.json.new';

/** The directory does not belong to this store. Nothing in it was changed. */
export class ForeignDataDirectory extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ForeignDataDirectory';
  }
}

/** Files left by a start that was killed before the directory had its format file. */
function isOwnLeftover(name: string): boolean {
  return name === STAGED_FORMAT_FILE || name.startsWith(LOCK_FILE);
}

/**
 * Checks the format of the directory without changing anything.
 * @returns whether the directory is new, that is empty and not yet claimed
 * @throws ForeignDataDirectory if it contains other files or another version of this layout
 */
export async function isNewDataDirectory(directory: string): Promise<boolean> {
  const path = join(directory, FORMAT_FILE);
  const found = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === FORMAT) return false;
  if (found !== undefined) {
    throw new ForeignDataDirectory(
      `${path} contains ${found.slice(0, 200)}, but this version requires ${FORMAT}. Use another --data directory.`,
    );
  }
  const strange = (await readdir(directory)).find((name) => !isOwnLeftover(name));
  if (strange !== undefined) {
    throw new ForeignDataDirectory(
      `${directory} is not a data directory of backhaul-object-store: it contains other files, such as ${strange}. Use an empty or new directory for --data.`,
    );
  }
  return true;
}

/** Marks a new directory as belonging to this store, before anything else is written to it. */
export async function claimDataDirectory(directory: string): Promise<void> {
  // In the directory itself and not in `tmp`, which may be used only once the directory is claimed.
  const staged = join(directory, STAGED_FORMAT_FILE);
  await writeFile(staged, FORMAT, { mode: 0o600, flush: true });
  await rename(staged, join(directory, FORMAT_FILE));
  await syncDirectory(directory);
}
