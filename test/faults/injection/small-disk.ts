import { execFileSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { type TemporaryDirectory, temporaryDirectory } from '../../harness/temporary-directory.ts';

const CHUNK = 64 * 1024;

/** A small separate file system (Linux's tmpfs), removed on disposal. */
export class SmallDisk implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  /** @throws Error if mounting is not permitted; see {@link whyNoSmallDisk}. */
  static async mount(options: { sizeBytes: number }): Promise<SmallDisk> {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory());
    mountAt(directory.path, options.sizeBytes);
    cleanup.move();
    return new SmallDisk(directory);
  }

  join(...names: string[]): string {
    return this.#directory.join(...names);
  }

  /** Fills the disk to the last page. */
  async fill(): Promise<void> {
    for (let count = 0; ; count += 1) {
      try {
        await writeFile(this.#filler, Buffer.alloc(CHUNK), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        if (count === 0) throw new Error('the disk was full already', { cause: error });
        return;
      }
    }
  }

  /** Frees the space that {@link fill} used. */
  async free(): Promise<void> {
    await rm(this.#filler);
  }

  get #filler(): string {
    return this.join('filler');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', [this.#directory.path]);
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Returns the reason for a test's `skip`, or false if mounting is permitted. */
export async function whyNoSmallDisk(): Promise<string | false> {
  if (process.platform !== 'linux') return 'a small disk is a tmpfs, which only Linux has';
  await using directory = await temporaryDirectory();
  try {
    mountAt(directory.path, CHUNK);
  } catch {
    return 'a small disk has to be mounted, which this user may not do; run this as root';
  }
  execFileSync('umount', [directory.path]);
  return false;
}

function mountAt(path: string, sizeBytes: number): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path], { stdio: 'pipe' });
}
