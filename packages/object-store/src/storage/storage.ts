import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { PartContent } from '../body/digested-content.ts';
import { S3Error } from '../errors.ts';
import type { Bucket } from './bucket.ts';
import { claimDataDirectory, DataDirectoryLock, isNewDataDirectory } from './data-directory.ts';
import { uniqueName, syncDirectory, type SyncDirectory } from './durable-file.ts';
import { Mutex } from './mutex.ts';
import { createBucketDirectory, openBucket } from './open-bucket.ts';
import { stagePart, type StagedPart } from './part-file.ts';
import { compareUtf8 } from './sorted-keys.ts';

/**
 * Checks a general-purpose bucket name: 3 to 63 of a-z, 0-9, dot and hyphen, no consecutive dots, not an IP address.
 * Bucket names are used as directory names, so the check must not be relaxed.
 */
export function isBucketName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9]|[.-](?!\.)){1,61}[a-z0-9]$/.test(name) && !/^\d+\.\d+\.\d+\.\d+$/.test(name);
}

interface StorageOptions {
  readonly nowMs: () => number;
  /** Syncs a directory of a bucket; tests pass a failing one. */
  readonly syncDirectory?: SyncDirectory;
}

/** All buckets of one data directory, which this process has locked. */
export class Storage implements AsyncDisposable {
  readonly nowMs: () => number;
  readonly #temporary: string;
  readonly #syncDirectory: SyncDirectory;
  readonly #directory: string;
  readonly #lock: DataDirectoryLock;
  readonly #buckets: Map<string, Bucket>;
  readonly #bucketMutex = new Mutex();

  private constructor(
    directory: string,
    state: { readonly lock: DataDirectoryLock; readonly buckets: Map<string, Bucket> },
    options: Required<StorageOptions>,
  ) {
    this.#directory = directory;
    this.#lock = state.lock;
    this.#buckets = state.buckets;
    this.#temporary = join(directory, 'tmp');
    this.nowMs = options.nowMs;
    this.#syncDirectory = options.syncDirectory;
  }

  /** @throws DataDirectoryInUse, ForeignDataDirectory */
  static async open(dataDir: string, { nowMs, ...rest }: StorageOptions): Promise<Storage> {
    const options = { nowMs, syncDirectory, ...rest };
    const directory = resolve(dataDir);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Checked before the lock file is created, and again while no other process can claim the directory.
    await isNewDataDirectory(directory);
    const lock = new DataDirectoryLock(directory);
    try {
      if (await isNewDataDirectory(directory)) await claimDataDirectory(directory);
      const temporary = join(directory, 'tmp');
      // Remove incomplete files left by a crash.
      await rm(temporary, { recursive: true, force: true });
      await mkdir(temporary, { mode: 0o700 });
      const bucketsPath = join(directory, 'buckets');
      await mkdir(bucketsPath, { recursive: true, mode: 0o700 });
      await syncDirectory(directory);
      const buckets = new Map<string, Bucket>();
      for (const name of await readdir(bucketsPath)) {
        buckets.set(name, await openBucket(join(bucketsPath, name), { temporary, ...options }));
      }
      return new Storage(directory, { lock, buckets }, options);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws S3Error NoSuchBucket */
  bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (bucket === undefined) throw new S3Error('NoSuchBucket');
    return bucket;
  }

  hasBucket(name: string): boolean {
    return this.#buckets.has(name);
  }

  /** Buckets sorted by name. */
  buckets(): Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => compareUtf8(a.name, b.name));
  }

  /** Writes content to a temporary file, verified and synced, which a bucket can then move into place. */
  async stage(content: PartContent, partNumber: number): Promise<StagedPart> {
    return await stagePart(content, { temporary: this.#temporary, number: partNumber, nowMs: this.nowMs });
  }

  /** @throws S3Error InvalidBucketName, BucketAlreadyOwnedByYou */
  async createBucket(name: string): Promise<void> {
    if (!isBucketName(name)) throw new S3Error('InvalidBucketName');
    await this.#bucketMutex.run(async () => {
      if (this.#buckets.has(name)) throw new S3Error('BucketAlreadyOwnedByYou');
      const staged = join(this.#temporary, uniqueName());
      const bucketPath = this.#bucketPath(name);
      const options = {
        temporary: this.#temporary,
        nowMs: this.nowMs,
        syncDirectory: this.#syncDirectory,
      };
      await mkdir(staged, { mode: 0o700 });
      await createBucketDirectory(staged, name, options);
      await rename(staged, bucketPath);
      this.#buckets.set(name, await openBucket(bucketPath, options));
      await this.#syncDirectory(join(this.#directory, 'buckets'));
    });
  }

  /** @throws S3Error NoSuchBucket, BucketNotEmpty, OperationAborted */
  async deleteBucket(name: string): Promise<void> {
    await this.#bucketMutex.run(async () => {
      this.bucket(name).markDeleted();
      this.#buckets.delete(name);
      const trash = join(this.#temporary, uniqueName());
      await rename(this.#bucketPath(name), trash);
      await this.#syncDirectory(join(this.#directory, 'buckets'));
      await rm(trash, { recursive: true, force: true });
    });
  }

  #bucketPath(name: string): string {
    return join(this.#directory, 'buckets', name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#lock[Symbol.dispose]();
    return Promise.resolve();
  }
}
