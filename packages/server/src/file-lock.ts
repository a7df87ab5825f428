import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isBusy } from './store/sqlite-error.ts';

/** Somebody else, most likely another process, holds the lock. */
export class FileLockHeld extends Error {
  override readonly name = 'FileLockHeld';
}

/**
 * A lock that one process at a time can hold. SQLite's exclusive transaction is a lock of the operating system, which
 * ends with the process however that dies; a file with a process id in it would be believed after a crash. Node has
 * no other binding to such locks.
 */
export class FileLock implements Disposable {
  readonly #database: DatabaseSync;

  /**
   * @param path Of a file that serves as nothing else. It is made if need be, and stays: removing it would let
   *   two processes hold the lock of two files of that name.
   * @throws FileLockHeld at once; or SQLite's error if the file cannot be made.
   */
  constructor(path: string) {
    // SQLite would make it as the umask says, and an account that may read it could lock it. One that is there is not opened
    // here: to close it again would take its locks from whoever in this process holds them.
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
