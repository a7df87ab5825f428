import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { uniqueName, type SyncDirectory } from './durable-file.ts';
import type { StagedPart } from './part-file.ts';

/** Prevents the removal of a blob's files until it is disposed. */
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
  readonly #pendingRemoval = new Set<string>();

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

  /** Whether any blob is being read. */
  get inUse(): boolean {
    return this.#pins.size > 0;
  }

  async create(id: string): Promise<void> {
    await mkdir(this.path(id), { mode: 0o700 });
    await this.#syncDirectory(this.#directory);
  }

  /** Moves a part into the blob, replacing an earlier one with the same number. Durable once the blob is synced. */
  async putPart(id: string, part: StagedPart): Promise<void> {
    await rename(part.path, this.partPath(id, part.record.number));
  }

  async sync(id: string): Promise<void> {
    await this.#syncDirectory(this.path(id));
  }

  /** Must be called in the same turn of the event loop in which an object was seen to name the blob. */
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
    if (this.#pendingRemoval.delete(id)) void this.#remove(id);
  }

  /** Removes a blob that is no longer referenced, once its last reader has finished. */
  async discard(id: string): Promise<void> {
    if (this.#pins.has(id)) this.#pendingRemoval.add(id);
    else await this.#remove(id);
  }

  /** Never rejects: files that cannot be removed only use space until the next start removes unreferenced blobs. */
  async #remove(id: string): Promise<void> {
    try {
      // Renamed first, so that a crash leaves no partly removed blob under its name.
      const trash = join(this.#temporary, uniqueName());
      await rename(this.path(id), trash);
      await rm(trash, { recursive: true, force: true });
    } catch {
      // See above.
    }
  }
}
