import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { ConfigError } from '../config/config-error.ts';
import { FileLock, FileLockHeld } from '../file-lock.ts';

/** Directory of all dev mode state, relative to the working directory. */
const DEV_DIRECTORY = dirname(DEV_FILE);

/** A directory that only its owner can enter, used by one server at a time. */
export class DevDirectory implements Disposable {
  readonly path: string;
  readonly #lock: FileLock;

  private constructor(path: string, lock: FileLock) {
    this.path = path;
    this.#lock = lock;
  }

  /** @throws ConfigError if another server is using it. */
  static async open(cwd: string): Promise<DevDirectory> {
    const path = join(cwd, DEV_DIRECTORY);
    await mkdir(path, { recursive: true, mode: 0o700 });
    // An existing directory may have wider permissions.
    await chmod(path, 0o700);
    const lock = takeLock(path);
    await writeFile(join(path, '.gitignore'), '*\n');
    return new DevDirectory(path, lock);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}

function takeLock(directory: string): FileLock {
  try {
    return new FileLock(join(directory, 'lock.sqlite'));
  } catch (cause) {
    if (!(cause instanceof FileLockHeld)) throw cause;
    const message = `--dev cannot use ${directory}: another backhaul-server --dev is running there. Stop it, or start this one in another directory.`;
    throw new ConfigError([{ setting: '--dev', message }], { cause });
  }
}
