import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Blobs } from './blobs.ts';
import { Bucket, type BucketDirectories } from './bucket.ts';
import { syncDirectory, writeDurably, type SyncDirectory } from './durable-file.ts';
import { MultipartUpload, type UploadRecord } from './multipart-upload.ts';
import { manifestFileName, summarize, type ObjectManifest, type ObjectSummary } from './stored-object.ts';
import { readPartRecord, type PartRecord } from './part-file.ts';

/*
 * A bucket's directory:
 *   bucket.json           name and creation time
 *   objects/HASH.json     one manifest per object, named by the SHA-256 of its key
 *   uploads/ID.json       one record per open multipart upload
 *   blobs/ID/NNNNN        part files, of an object or of an open upload
 */
interface BucketRecord {
  readonly name: string;
  readonly createdAtMs: number;
}

interface OpenOptions {
  readonly temporary: string;
  readonly nowMs: () => number;
  readonly syncDirectory: SyncDirectory;
}

/** Number of small files read concurrently at the start. */
const CONCURRENCY = 32;

async function forEachConcurrently<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await task(item);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

async function readJson<T>(path: string): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    throw new Error(`${path} cannot be read: the data directory is damaged.`, { cause: error });
  }
}

function directoriesOf(directory: string, { temporary, syncDirectory }: OpenOptions): BucketDirectories {
  return {
    objects: join(directory, 'objects'),
    uploads: join(directory, 'uploads'),
    temporary,
    syncDirectory,
    blobs: new Blobs(join(directory, 'blobs'), temporary, syncDirectory),
  };
}

/** Creates the layout of a new bucket in an empty directory. */
export async function createBucketDirectory(
  directory: string,
  name: string,
  options: Pick<OpenOptions, 'temporary' | 'nowMs'>,
): Promise<void> {
  const record: BucketRecord = { name, createdAtMs: options.nowMs() };
  for (const part of ['objects', 'uploads', 'blobs']) await mkdir(join(directory, part), { mode: 0o700 });
  await writeDurably(join(directory, 'bucket.json'), JSON.stringify(record), options.temporary);
  await syncDirectory(directory);
}

/**
 * Reads a bucket and finishes operations that a crash interrupted: an upload whose object exists was completed, and a
 * blob that neither an object nor an upload references is removed.
 */
export async function openBucket(directory: string, options: OpenOptions): Promise<Bucket> {
  const { name, createdAtMs } = await readJson<BucketRecord>(join(directory, 'bucket.json'));
  const directories = directoriesOf(directory, options);
  const { objects: objectsPath, uploads: uploadsPath, blobs } = directories;
  const present = new Set(await readdir(join(directory, 'blobs')));
  const unclaimed = new Set(present);

  const objects = new Map<string, ObjectSummary>();
  await forEachConcurrently(await readdir(objectsPath), async (file) => {
    const manifest = await readJson<ObjectManifest>(join(objectsPath, file));
    if (manifestFileName(manifest.key) !== file || !present.has(manifest.blob)) {
      throw new Error(
        `${join(objectsPath, file)} names a missing blob or has another key: the data directory is damaged.`,
      );
    }
    objects.set(manifest.key, summarize(manifest));
    unclaimed.delete(manifest.blob);
  });

  const uploads: MultipartUpload[] = [];
  await forEachConcurrently(await readdir(uploadsPath), async (file) => {
    const path = join(uploadsPath, file);
    const record = await readJson<UploadRecord>(path);
    if (!unclaimed.has(record.id)) {
      await rm(path);
      return;
    }
    const parts: PartRecord[] = [];
    for (const part of await readdir(blobs.path(record.id))) {
      parts.push(await readPartRecord(join(blobs.path(record.id), part)));
    }
    uploads.push(new MultipartUpload(record, parts));
  });
  for (const { record } of uploads) unclaimed.delete(record.id);
  for (const leftover of unclaimed) await blobs.discard(leftover);
  return new Bucket({ name, createdAtMs, objects, uploads }, directories, options.nowMs);
}
