import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  startObjectStore,
  type ObjectStore,
  type ObjectStoreOptions,
} from '../../../packages/object-store/src/object-store.ts';
import { keyStream } from '../key-stream.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { ACCESS_KEY, SECRET_KEY, TestClient } from './test-client.ts';

export interface StoreFixture extends AsyncDisposable {
  readonly store: ObjectStore;
  readonly client: TestClient;
  readonly dataDir: string;
}

/** Starts a store with the bucket `box` in a temporary directory. */
export async function startStore(options: Partial<ObjectStoreOptions> = {}): Promise<StoreFixture> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const store = stack.use(
    await startObjectStore({
      port: 0,
      dataDir: directory.path,
      accessKey: ACCESS_KEY,
      secretKey: SECRET_KEY,
      buckets: ['box'],
      ...options,
    }),
  );
  const client = stack.use(new TestClient(store.url));
  const resources = stack.move();
  return { store, client, dataDir: directory.path, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** Returns all files below the directory as sorted relative paths. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

export const md5Hex = (data: Buffer | string): string => createHash('md5').update(data).digest('hex');
export const md5Base64 = (data: Buffer | string): string => createHash('md5').update(data).digest('base64');

/** Pseudo-random bytes, the same for the same seed. */
export function patternBytes(sizeBytes: number, seed: string): Buffer {
  return Buffer.concat([...keyStream(seed, 0, sizeBytes)]);
}
