import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DEV_FILE } from '@backhaul/protocol';
import { ConfigError } from '../config/config-error.ts';

/** Where dev mode keeps everything, in the working directory. */
const DEV_DIRECTORY = dirname(DEV_FILE);

/** A directory that only its owner can enter, held by one server at a time. */
export class DevDirectory implements Disposable {
  readonly path: string;
  readonly #lock: DatabaseSync;

  private constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
  }

  /** @throws ConfigError if another server has it. */
  static async open(cwd: string): Promise<DevDirectory> {
    const path = join(cwd, DEV_DIRECTORY);
    await mkdir(path, { recursive: true, mode: 0o700 });
    // It may have been there before, with wider rights.
    await chmod(path, 0o700);
    const lock = takeLock(path);
    await writeFile(join(path, '.gitignore'), '*\n');
    return new DevDirectory(path, lock);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    if (this.#lock.isOpen) this.#lock.close();
  }
}

/**
 * SQLite's exclusive transaction is a lock of the operating system, which ends with the process however that
 * dies; a file with a process id in it would be believed after a crash. Node has no other binding to such locks.
 */
function takeLock(directory: string): DatabaseSync {
  const lock = new DatabaseSync(join(directory, 'lock.sqlite'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock.close();
    const SQLITE_BUSY = 5;
    if (!(cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY)) throw cause;
    const message = `--dev cannot use ${directory}: another backhaul-server --dev is running there. Stop that one, or start this one in another directory.`;
    throw new ConfigError([{ setting: '--dev', message }], { cause });
  }
}
