import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { DigestedContent } from '../body/digested-content.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import type { Bucket } from './bucket.ts';
import { syncDirectory } from './durable-file.ts';
import { manifestFileName } from './stored-object.ts';
import type { StagedPart } from './part-file.ts';
import { Storage } from './storage.ts';

const PROPERTIES = { contentHeaders: {}, userMetadata: {}, storageClass: 'STANDARD' };
const always = (): void => undefined;

/** A store whose disk fails to sync the directories for which `fails` returns true. */
class FailingDisk {
  fails: (directory: string) => boolean = () => false;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  open(): Promise<Storage> {
    return Storage.open(this.#path, {
      nowMs: Date.now,
      syncDirectory: async (directory) => {
        if (this.fails(directory)) throw new Error('EIO');
        await syncDirectory(directory);
      },
    });
  }

  async failing<T>(fails: (directory: string) => boolean, task: () => Promise<T>): Promise<void> {
    this.fails = fails;
    await assert.rejects(task(), /EIO/);
    this.fails = () => false;
  }
}

const isObjects = (directory: string): boolean => basename(directory) === 'objects';

async function stage(storage: Storage, text: string, number = 1): Promise<StagedPart> {
  async function* bytes() {
    await Promise.resolve();
    yield Buffer.from(text);
  }
  return await storage.stage(new DigestedContent(bytes(), undefined), number);
}

async function put(storage: Storage, key: string, text: string): Promise<void> {
  await storage.bucket('box').put(key, await stage(storage, text), PROPERTIES, always);
}

/** Reads the object's bytes from its only part. */
async function bytesOf(bucket: Bucket, key: string): Promise<string> {
  using opened = await bucket.open(key);
  const [part] = opened.manifest.parts;
  assert.ok(part !== undefined);
  const file = await readFile(opened.pin.partPath(part.number), 'utf8');
  return file.slice(0, part.sizeBytes);
}

test('an object whose directory failed to sync is complete, before and after a restart', async () => {
  await using directory = await temporaryDirectory();
  const disk = new FailingDisk(directory.path);
  {
    await using storage = await disk.open();
    await storage.createBucket('box');
    await put(storage, 'key', 'first');
    await disk.failing(isObjects, () => put(storage, 'key', 'second'));
    assert.equal(await bytesOf(storage.bucket('box'), 'key'), 'second');
    await disk.failing(isObjects, () => put(storage, 'new', 'third'));
  }
  await using storage = await disk.open();
  assert.equal(await bytesOf(storage.bucket('box'), 'key'), 'second');
  assert.equal(await bytesOf(storage.bucket('box'), 'new'), 'third');
});

test('an upload whose object exists cannot be aborted, even if its directory failed to sync', async () => {
  await using directory = await temporaryDirectory();
  const disk = new FailingDisk(directory.path);
  {
    await using storage = await disk.open();
    await storage.createBucket('box');
    const bucket = storage.bucket('box');
    const upload = await bucket.createUpload({ key: 'key', properties: PROPERTIES, checksum: undefined });
    const part = await bucket.addPart(upload, await stage(storage, 'part'));
    const completed = {
      sizeBytes: part.sizeBytes,
      etag: `${part.md5}-1`,
      checksum: undefined,
      parts: [part],
    };
    await disk.failing(isObjects, () => bucket.complete(upload, () => completed, always));
    await assert.rejects(bucket.abort(upload), { code: 'NoSuchUpload' });
    assert.deepEqual(bucket.uploads(), []);
    assert.equal(await bytesOf(bucket, 'key'), 'part');
  }
  await using storage = await disk.open();
  assert.equal(await bytesOf(storage.bucket('box'), 'key'), 'part');
  assert.deepEqual(storage.bucket('box').uploads(), []);
});

test('a bucket whose directory failed to sync exists', async () => {
  await using directory = await temporaryDirectory();
  const disk = new FailingDisk(directory.path);
  await using storage = await disk.open();
  await disk.failing(
    (path) => basename(path) === 'buckets',
    () => storage.createBucket('box'),
  );
  await put(storage, 'key', 'first');
  assert.equal(await bytesOf(storage.bucket('box'), 'key'), 'first');
});

test(
  'a manifest that is not in the index is an error, not an endless loop',
  { timeout: 10_000 },
  async () => {
    await using directory = await temporaryDirectory();
    const disk = new FailingDisk(directory.path);
    await using storage = await disk.open();
    await storage.createBucket('box');
    await put(storage, 'key', 'first');
    const { manifest, ...opened } = await storage.bucket('box').open('key');
    opened[Symbol.dispose]();
    const path = join(directory.path, 'buckets', 'box', 'objects', manifestFileName('key'));
    await writeFile(path, JSON.stringify({ ...manifest, blob: 'another' }));
    await assert.rejects(storage.bucket('box').open('key'), /was not written by this store/);
  },
);

test('a part that replaced another belongs to the upload, even if its directory failed to sync', async () => {
  await using directory = await temporaryDirectory();
  const disk = new FailingDisk(directory.path);
  await using storage = await disk.open();
  await storage.createBucket('box');
  const bucket = storage.bucket('box');
  const upload = await bucket.createUpload({ key: 'key', properties: PROPERTIES, checksum: undefined });
  await bucket.addPart(upload, await stage(storage, 'old'));
  const replacement = await stage(storage, 'new bytes');
  await disk.failing(
    (path) => basename(path) === upload.record.id,
    () => bucket.addPart(upload, replacement),
  );
  assert.deepEqual(upload.parts(), [replacement.record]);
});
