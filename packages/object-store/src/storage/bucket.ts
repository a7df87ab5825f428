import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { S3Error } from '../errors.ts';
import type { Blobs, BlobPin } from './blobs.ts';
import { freshName, replaceFile, type SyncDirectory } from './durable-file.ts';
import { listKeys, type KeyListing, type ListQuery } from './list-keys.ts';
import { MultipartUpload, newUploadId, type UploadRecord } from './multipart-upload.ts';
import { NamedMutex } from './mutex.ts';
import {
  manifestFileName,
  summarize,
  type ObjectManifest,
  type ObjectProperties,
  type ObjectSummary,
} from './object-manifest.ts';
import type { PartRecord, StagedPart } from './part-file.ts';
import { compareUtf8, SortedKeys } from './sorted-keys.ts';

/** Where a bucket's files lie. */
export interface BucketPlace {
  readonly objects: string;
  readonly uploads: string;
  readonly temporary: string;
  readonly syncDirectory: SyncDirectory;
  readonly blobs: Blobs;
}

/** What was found on disk at the start. */
export interface BucketContent {
  readonly name: string;
  readonly createdAtMs: number;
  readonly objects: ReadonlyMap<string, ObjectSummary>;
  readonly uploads: Iterable<MultipartUpload>;
}

/** Decides, alone with the key, whether a write may happen. Throws if not. */
export type WriteCondition = (current: ObjectSummary | undefined) => void;

/** A manifest with its files held in place. */
export interface OpenObject extends Disposable {
  readonly manifest: ObjectManifest;
  readonly pin: BlobPin;
}

/** An open upload's manifest-to-be: all but what the bucket itself decides. */
export type CompletedObject = Pick<ObjectManifest, 'sizeBytes' | 'etag' | 'checksum' | 'parts'>;

export class Bucket {
  readonly name: string;
  readonly createdAtMs: number;
  readonly #place: BucketPlace;
  readonly #nowMs: () => number;
  readonly #objects: Map<string, ObjectSummary>;
  readonly #keys: SortedKeys;
  readonly #uploads: Map<string, MultipartUpload>;
  readonly #keyMutex = new NamedMutex();
  #changesInFlight = 0;
  #deleted = false;

  constructor(content: BucketContent, place: BucketPlace, nowMs: () => number) {
    this.name = content.name;
    this.createdAtMs = content.createdAtMs;
    this.#place = place;
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
    // A writer came between. Alone with the key nothing can: then index and disk agree, or something is damaged.
    return await this.#keyMutex.run(key, async () => {
      const settled = await this.#tryOpen(key);
      if (settled === undefined) {
        throw new Error(`${this.#manifestPath(key)} is not what the store put there.`);
      }
      return settled;
    });
  }

  /** @returns undefined if the manifest on disk is not the one that the index names */
  async #tryOpen(key: string): Promise<OpenObject | undefined> {
    if (!this.#objects.has(key)) throw new S3Error('NoSuchKey');
    const text = await readFile(this.#manifestPath(key), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const manifest = JSON.parse(text) as ObjectManifest;
    if (this.#objects.get(key)?.blob !== manifest.blob) return undefined;
    const pin = this.#place.blobs.pin(manifest.blob);
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
      const blob = freshName();
      const { blobs } = this.#place;
      let committed = false;
      try {
        await blobs.create(blob);
        await blobs.place(blob, part);
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

  /** Removing what isn't there succeeds, as in S3. */
  async delete(key: string): Promise<void> {
    await this.#change(() =>
      this.#keyMutex.run(key, async () => {
        const current = this.#objects.get(key);
        if (current === undefined) return;
        // Out of the index first: whoever finds no manifest must not find the key either.
        this.#objects.delete(key);
        this.#keys.delete(key);
        try {
          await rm(this.#manifestPath(key));
        } catch (error) {
          this.#objects.set(key, current);
          this.#keys.add(key);
          throw error;
        }
        await this.#place.syncDirectory(this.#place.objects);
        await this.#place.blobs.discard(current.blob);
      }),
    );
  }

  async createUpload(upload: Omit<UploadRecord, 'id' | 'initiatedAtMs'>): Promise<MultipartUpload> {
    return await this.#change(async () => {
      const initiatedAtMs = this.#nowMs();
      const record: UploadRecord = { ...upload, id: newUploadId(initiatedAtMs), initiatedAtMs };
      await this.#place.blobs.create(record.id);
      await replaceFile(this.#uploadPath(record.id), JSON.stringify(record), this.#place.temporary);
      const created = new MultipartUpload(record, []);
      this.#uploads.set(record.id, created);
      await this.#place.syncDirectory(this.#place.uploads);
      return created;
    });
  }

  /** @throws S3Error NoSuchUpload, also for an upload of another key */
  upload(id: string, key: string): MultipartUpload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.record.key !== key) throw new S3Error('NoSuchUpload');
    return upload;
  }

  /** By key, then by age. */
  uploads(): MultipartUpload[] {
    return [...this.#uploads.values()].sort(
      (a, b) => compareUtf8(a.record.key, b.record.key) || compareUtf8(a.record.id, b.record.id),
    );
  }

  /** Makes a staged part one of the upload's; of two with one number the last to get here stays. */
  async addPart(upload: MultipartUpload, part: StagedPart): Promise<PartRecord> {
    return await upload.change(async () => {
      await this.#place.blobs.place(upload.record.id, part);
      // In the same moment as the rename: the record in memory must never speak of bytes that are replaced.
      upload.setPart(part.record);
      await this.#place.blobs.sync(upload.record.id);
      return part.record;
    });
  }

  /**
   * @param assemble judges the request against the parts, which can't change meanwhile
   * @throws whatever `assemble` or `condition` throws; the upload then stays open
   * @throws Error of the disk after the object exists; the upload has ended then
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
        for (const part of surplus) await rm(this.#place.blobs.partPath(id, part.number), { force: true });
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
        await this.#place.blobs.discard(upload.record.id);
      }),
    );
  }

  /** Refuses every later change. @throws S3Error if anything would be lost, or is being written */
  markDeleted(): void {
    if (this.#deleted) throw new S3Error('NoSuchBucket');
    if (this.#objects.size > 0) throw new S3Error('BucketNotEmpty');
    if (this.#uploads.size > 0) {
      throw new S3Error('BucketNotEmpty', 'The bucket has multipart uploads in progress: abort them first.');
    }
    if (this.#changesInFlight > 0 || this.#place.blobs.inUse) throw new S3Error('OperationAborted');
    this.#deleted = true;
  }

  #manifestPath(key: string): string {
    return join(this.#place.objects, manifestFileName(key));
  }

  #uploadPath(id: string): string {
    return join(this.#place.uploads, `${id}.json`);
  }

  async #forgetUpload(id: string): Promise<void> {
    await rm(this.#uploadPath(id), { force: true });
    await this.#place.syncDirectory(this.#place.uploads);
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
   * Renaming the manifest into place is the moment at which the object exists.
   * @param onCommitted called in that moment. An error that comes later undoes nothing: the client hears that
   * something failed, and the object is the new one.
   */
  async #commit(
    manifest: ObjectManifest,
    condition: WriteCondition,
    onCommitted: () => void,
  ): Promise<ObjectManifest> {
    return await this.#keyMutex.run(manifest.key, async () => {
      const previous = this.#objects.get(manifest.key);
      condition(previous);
      await replaceFile(this.#manifestPath(manifest.key), JSON.stringify(manifest), this.#place.temporary);
      this.#objects.set(manifest.key, summarize(manifest));
      this.#keys.add(manifest.key);
      onCommitted();
      await this.#place.syncDirectory(this.#place.objects);
      // Not before: a power cut could still bring back the previous manifest, which names this blob.
      if (previous !== undefined) await this.#place.blobs.discard(previous.blob);
      return manifest;
    });
  }
}
