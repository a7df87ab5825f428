import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';

/** SQLite may put a journal beside it, of the same name and an ending. */
export const LOCK_FILE = 'lock.sqlite';

/** Another process serves the same data directory. */
export class DataDirectoryInUse extends Error {
  readonly dataDir: string;

  constructor(dataDir: string, cause: unknown) {
    super(
      `The data directory ${dataDir} is in use by another backhaul-object-store. Stop that one, or give this one another --data.`,
      { cause },
    );
    this.name = 'DataDirectoryInUse';
    this.dataDir = dataDir;
  }
}

/**
 * Holds a data directory for this process. SQLite's exclusive transaction is a lock of the operating system on the
 * file, so it ends with the process however that dies: no stale lock, no guessing whether a process id is alive.
 * Node has no other binding to such locks.
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
