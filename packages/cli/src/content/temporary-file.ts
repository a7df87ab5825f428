import { randomBytes } from 'node:crypto';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/** A file that appears at its path whole or not at all. Disposed without `commit`, it leaves nothing. */
export class TemporaryFile implements AsyncDisposable {
  readonly #target: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #open = true;

  private constructor(target: string, temporary: string, handle: FileHandle) {
    this.#target = target;
    this.#path = temporary;
    this.#handle = handle;
  }

  /** In the same directory, because a rename is atomic only within one file system. */
  static async beside(file: string): Promise<TemporaryFile> {
    // A symbolic link stays one, and an existing file keeps its mode, as when written in place.
    const target = await realpath(file).catch(() => path.resolve(file));
    const mode = await stat(target).then(
      (found) => found.mode & 0o777,
      () => undefined,
    );
    const temporary = path.join(path.dirname(target), `.backhaul-${randomBytes(6).toString('hex')}.part`);
    const file_ = new TemporaryFile(target, temporary, await open(temporary, 'wx+'));
    if (mode !== undefined) await file_.#handle.chmod(mode);
    return file_;
  }

  async writeAt(chunk: Uint8Array, position: number): Promise<void> {
    let written = 0;
    while (written < chunk.length) {
      const { bytesWritten } = await this.#handle.write(
        chunk,
        written,
        chunk.length - written,
        position + written,
      );
      written += bytesWritten;
    }
  }

  /** What is in the file, from its start. */
  async *read(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let position = 0; ;) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  }

  /** Durable first, then visible. */
  async commit(): Promise<void> {
    await this.#handle.sync();
    await this.#close();
    await rename(this.#path, this.#target);
    await syncDirectory(path.dirname(this.#target));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    // After a commit there is nothing of this name any more.
    await rm(this.#path, { force: true });
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}

/** Windows cannot open a directory, and some file systems cannot sync one; the file itself is safe by then. */
async function syncDirectory(directory: string): Promise<void> {
  try {
    await using handle = await open(directory);
    await handle.sync();
  } catch {
    // See above.
  }
}
