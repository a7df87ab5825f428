import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freshName, type SyncDirectory } from './durable-file.ts';
import type { StagedPart } from './part-file.ts';

/** Keeps a blob's files while it is held. */
export interface BlobPin extends Disposable {
  partPath(number: number): string;
}

/**
 * The directories that hold part files. A blob belongs to one multipart upload or one object, and its completed
 * parts never move: completing an upload only writes a manifest that names the blob.
 */
export class Blobs {
  readonly #directory: string;
  readonly #temporary: string;
  readonly #syncDirectory: SyncDirectory;
  readonly #pins = new Map<string, number>();
  readonly #doomed = new Set<string>();

  constructor(directory: string, temporary: string, syncDirectory: SyncDirectory) {
    this.#directory = directory;
    this.#temporary = temporary;
    this.#syncDirectory = syncDirectory;
  }

  path(id: string): string {
    return join(this.#directory, id);
  }

  partPath(id: string, number: number): string {
    return join(this.#directory, id, String(number).padStart(5, '0'));
  }

  /** Somebody is reading. */
  get inUse(): boolean {
    return this.#pins.size > 0;
  }

  async create(id: string): Promise<void> {
    await mkdir(this.path(id), { mode: 0o700 });
    await this.#syncDirectory(this.#directory);
  }

  /** Moves a part to its place, over an earlier one of the same number, for good once the blob is synced. */
  async place(id: string, part: StagedPart): Promise<void> {
    await rename(part.path, this.partPath(id, part.record.number));
  }

  async sync(id: string): Promise<void> {
    await this.#syncDirectory(this.path(id));
  }

  /** To be called while the blob is still named by an object, in the same turn of the event loop. */
  pin(id: string): BlobPin {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
    let held = true;
    return {
      partPath: (number) => this.partPath(id, number),
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#unpin(id);
      },
    };
  }

  #unpin(id: string): void {
    const left = (this.#pins.get(id) ?? 1) - 1;
    if (left > 0) {
      this.#pins.set(id, left);
      return;
    }
    this.#pins.delete(id);
    if (this.#doomed.delete(id)) void this.#remove(id);
  }

  /** Removes a blob that nothing refers to any more; once its last reader is done. */
  async discard(id: string): Promise<void> {
    if (this.#pins.has(id)) this.#doomed.add(id);
    else await this.#remove(id);
  }

  /** Never rejects: what can't be removed only costs space, until the next start removes what nothing names. */
  async #remove(id: string): Promise<void> {
    try {
      // Renamed first, so that a crash leaves no half-emptied blob under its own name.
      const grave = join(this.#temporary, freshName());
      await rename(this.path(id), grave);
      await rm(grave, { recursive: true, force: true });
    } catch {
      // See above.
    }
  }
}
