import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isBusy } from './store/sqlite-dialect.ts';

/** Another holder, most likely another process, has the lock. */
export class FileLockHeld extends Error {
  override readonly name = 'FileLockHeld';
}

/**
 * A lock that one process at a time can hold. SQLite's exclusive transaction is an operating system lock, which ends
 * with the process even if it crashes; a pid file would still look valid then. Node has no other binding to such
 * locks.
 */
export class FileLock implements Disposable {
  readonly #database: DatabaseSync;

  /**
   * @param path A file used for nothing else. It is created if missing, and never removed: after a removal two
   *   processes could lock two files of the same name.
   * @throws FileLockHeld immediately; SQLite's error if the file cannot be created.
   */
  constructor(path: string) {
    // SQLite would create it with the umask's mode, and any account that can read it could lock it. An existing file
    // is not opened here: closing it would release the locks that other code in this process holds on it.
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path, { timeout: 0 });
    try {
      this.#database.exec('begin exclusive');
    } catch (cause) {
      this.#database.close();
      if (isBusy(cause)) throw new FileLockHeld(`${path} is locked`, { cause });
      throw cause;
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
