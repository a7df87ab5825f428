import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';

/** SQLite may create a journal with the same name and a suffix. */
export const LOCK_FILE = 'lock.sqlite';

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
