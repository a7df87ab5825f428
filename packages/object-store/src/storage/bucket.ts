import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { S3Error } from '../errors.ts';
import type { Blobs, BlobPin } from './blobs.ts';
import { uniqueName, replaceFile, type SyncDirectory } from './durable-file.ts';
import { compareUtf8, type KeyListing, listKeys, type ListQuery, SortedKeys } from './sorted-keys.ts';
import { MultipartUpload, newUploadId, type UploadRecord } from './multipart-upload.ts';
import { NamedMutex } from './mutex.ts';
import {
  manifestFileName,
  summarize,
  type ObjectManifest,
  type ObjectProperties,
  type ObjectSummary,
} from './stored-object.ts';
import type { PartRecord, StagedPart } from './part-file.ts';

/** Directories of a bucket and how to change them. */
export interface BucketDirectories {
  readonly objects: string;
  readonly uploads: string;
  readonly temporary: string;
  readonly syncDirectory: SyncDirectory;
  readonly blobs: Blobs;
}

/** Content of a bucket read from disk at the start. */
interface BucketContent {
  readonly name: string;
  readonly createdAtMs: number;
  readonly objects: ReadonlyMap<string, ObjectSummary>;
  readonly uploads: Iterable<MultipartUpload>;
}

/** Evaluated while holding the key's lock; throws if the write must not happen. */
export type WriteCondition = (current: ObjectSummary | undefined) => void;

/** A manifest whose files cannot be removed until it is disposed. */
export interface OpenObject extends Disposable {
  readonly manifest: ObjectManifest;
  readonly pin: BlobPin;
}

/** Manifest fields of a completed upload; the bucket adds the others. */
export type CompletedObject = Pick<ObjectManifest, 'sizeBytes' | 'etag' | 'checksum' | 'parts'>;

export class Bucket {
  readonly name: string;
  readonly createdAtMs: number;
  readonly #directories: BucketDirectories;
  readonly #nowMs: () => number;
  readonly #objects: Map<string, ObjectSummary>;
  readonly #keys: SortedKeys;
  readonly #uploads: Map<string, MultipartUpload>;
  readonly #keyMutex = new NamedMutex();
  #changesInFlight = 0;
  #deleted = false;

  constructor(content: BucketContent, directories: BucketDirectories, nowMs: () => number) {
    this.name = content.name;
    this.createdAtMs = content.createdAtMs;
    this.#directories = directories;
    this.#nowMs = nowMs;
    this.#objects = new Map(content.objects);
    this.#keys = new SortedKeys(this.#objects.keys());
    this.#uploads = new Map([...content.uploads].map((upload) => [upload.record.id, upload]));
  }

  summary(key: string): ObjectSummary | undefined {
    return this.#objects.get(key);
  }

  list(query: ListQuery): KeyListing {
    return listKeys(this.#keys, query);
  }

  /** @throws S3Error NoSuchKey */
  async open(key: string): Promise<OpenObject> {
    const opened = await this.#tryOpen(key);
    if (opened !== undefined) return opened;
    // A concurrent write changed the object. Retry while holding the key's lock: a mismatch then means damage.
    return await this.#keyMutex.run(key, async () => {
      const current = await this.#tryOpen(key);
      if (current === undefined) {
        throw new Error(`${this.#manifestPath(key)} was not written by this store.`);
      }
      return current;
    });
  }

  /** @returns undefined if the manifest on disk differs from the one in the index */
  async #tryOpen(key: string): Promise<OpenObject | undefined> {
    if (!this.#objects.has(key)) throw new S3Error('NoSuchKey');
    const text = await readFile(this.#manifestPath(key), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const manifest = JSON.parse(text) as ObjectManifest;
    if (this.#objects.get(key)?.blob !== manifest.blob) return undefined;
    const pin = this.#directories.blobs.pin(manifest.blob);
    return { manifest, pin, [Symbol.dispose]: () => pin[Symbol.dispose]() };
  }

  /** Stores an object of one part. */
  async put(
    key: string,
    part: StagedPart,
    properties: ObjectProperties,
    condition: WriteCondition,
  ): Promise<ObjectManifest> {
    return await this.#change(async () => {
      const blob = uniqueName();
      const { blobs } = this.#directories;
      let committed = false;
      try {
        await blobs.create(blob);
        await blobs.putPart(blob, part);
        await blobs.sync(blob);
        const { sizeBytes, md5, checksum } = part.record;
        return await this.#commit(
          {
            key,
            blob,
            ...properties,
            sizeBytes,
            etag: md5,
            lastModifiedMs: this.#nowMs(),
            multipart: false,
            checksum: checksum && { ...checksum, type: 'FULL_OBJECT' },
            parts: [part.record],
          },
          condition,
          () => (committed = true),
        );
      } catch (error) {
        if (!committed) await blobs.discard(blob);
        throw error;
      }
    });
  }

  /** Deletes an object. Deleting a missing key succeeds, as in S3. */
  async delete(key: string): Promise<void> {
    await this.#change(() =>
      this.#keyMutex.run(key, async () => {
        const current = this.#objects.get(key);
        if (current === undefined) return;
        // Remove it from the index first: a reader must not find a key without its manifest.
        this.#objects.delete(key);
        this.#keys.delete(key);
        try {
          await rm(this.#manifestPath(key));
        } catch (error) {
          this.#objects.set(key, current);
          this.#keys.add(key);
          throw error;
        }
        await this.#directories.syncDirectory(this.#directories.objects);
        await this.#directories.blobs.discard(current.blob);
      }),
    );
  }

  async createUpload(upload: Omit<UploadRecord, 'id' | 'initiatedAtMs'>): Promise<MultipartUpload> {
    return await this.#change(async () => {
      const initiatedAtMs = this.#nowMs();
      const record: UploadRecord = { ...upload, id: newUploadId(initiatedAtMs), initiatedAtMs };
      await this.#directories.blobs.create(record.id);
      await replaceFile(this.#uploadPath(record.id), JSON.stringify(record), this.#directories.temporary);
      const created = new MultipartUpload(record, []);
      this.#uploads.set(record.id, created);
      await this.#directories.syncDirectory(this.#directories.uploads);
      return created;
    });
  }

  /** @throws S3Error NoSuchUpload, also if the upload has another key */
  upload(id: string, key: string): MultipartUpload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.record.key !== key) throw new S3Error('NoSuchUpload');
    return upload;
  }

  /** Uploads sorted by key, then by age. */
  uploads(): MultipartUpload[] {
    return [...this.#uploads.values()].sort(
      (a, b) => compareUtf8(a.record.key, b.record.key) || compareUtf8(a.record.id, b.record.id),
    );
  }

  /** Adds a staged part to the upload, replacing an earlier part with the same number. */
  async addPart(upload: MultipartUpload, part: StagedPart): Promise<PartRecord> {
    return await upload.change(async () => {
      await this.#directories.blobs.putPart(upload.record.id, part);
      // Directly after the rename: the record in memory must never describe replaced bytes.
      upload.setPart(part.record);
      await this.#directories.blobs.sync(upload.record.id);
      return part.record;
    });
  }

  /**
   * @param assemble checks the request against the parts, which cannot change during the call
   * @throws errors of `assemble` or `condition`; the upload then remains open
   * @throws Error of the disk after the object was created; the upload has then ended
   */
  async complete(
    upload: MultipartUpload,
    assemble: () => CompletedObject,
    condition: WriteCondition,
  ): Promise<ObjectManifest> {
    return await this.#change(() =>
      upload.change(async () => {
        const { id, key, properties } = upload.record;
        const completed = assemble();
        const manifest = await this.#commit(
          { key, blob: id, ...properties, ...completed, lastModifiedMs: this.#nowMs(), multipart: true },
          condition,
          () => {
            upload.end();
            this.#uploads.delete(id);
          },
        );
        const kept = new Set(completed.parts.map((part) => part.number));
        const surplus = upload.parts().filter((part) => !kept.has(part.number));
        for (const part of surplus)
          await rm(this.#directories.blobs.partPath(id, part.number), { force: true });
        await this.#forgetUpload(id);
        return manifest;
      }),
    );
  }

  async abort(upload: MultipartUpload): Promise<void> {
    await this.#change(() =>
      upload.change(async () => {
        upload.end();
        this.#uploads.delete(upload.record.id);
        await this.#forgetUpload(upload.record.id);
        await this.#directories.blobs.discard(upload.record.id);
      }),
    );
  }

  /** Refuses all later changes. @throws S3Error if the bucket is not empty or has changes in progress */
  markDeleted(): void {
    if (this.#deleted) throw new S3Error('NoSuchBucket');
    if (this.#objects.size > 0) throw new S3Error('BucketNotEmpty');
    if (this.#uploads.size > 0) {
      throw new S3Error('BucketNotEmpty', 'The bucket has multipart uploads in progress: abort them first.');
    }
    if (this.#changesInFlight > 0 || this.#directories.blobs.inUse) throw new S3Error('OperationAborted');
    this.#deleted = true;
  }

  #manifestPath(key: string): string {
    return join(this.#directories.objects, manifestFileName(key));
  }

  #uploadPath(id: string): string {
    return join(this.#directories.uploads, `${id}.json`);
  }

  async #forgetUpload(id: string): Promise<void> {
    await rm(this.#uploadPath(id), { force: true });
    await this.#directories.syncDirectory(this.#directories.uploads);
  }

  async #change<T>(task: () => Promise<T>): Promise<T> {
    if (this.#deleted) throw new S3Error('NoSuchBucket');
    this.#changesInFlight++;
    try {
      return await task();
    } finally {
      this.#changesInFlight--;
    }
  }

  /**
   * Renames the manifest into place, which creates the object.
   * @param onCommitted called directly after the rename. A later error undoes nothing: the client gets an error, and the
   * new object exists.
   */
  async #commit(
    manifest: ObjectManifest,
    condition: WriteCondition,
    onCommitted: () => void,
  ): Promise<ObjectManifest> {
    return await this.#keyMutex.run(manifest.key, async () => {
      const previous = this.#objects.get(manifest.key);
      condition(previous);
      await replaceFile(
        this.#manifestPath(manifest.key),
        JSON.stringify(manifest),
        this.#directories.temporary,
      );
      this.#objects.set(manifest.key, summarize(manifest));
      this.#keys.add(manifest.key);
      onCommitted();
      await this.#directories.syncDirectory(this.#directories.objects);
      // Only after the sync: a power failure could restore the previous manifest, which names this blob.
      if (previous !== undefined) await this.#directories.blobs.discard(previous.blob);
      return manifest;
    });
  }
}
