import { open } from 'node:fs/promises';
import type { BackhaulClient } from '@backhaul/client';
import type { UploadRecord } from '@backhaul/protocol';
import type { Terminal } from '../output.ts';
import { type ContentCheck, contentCheck } from './content-check.ts';
import type { Destination } from './destination.ts';
import { fetchObject } from './fetch-object.ts';
import { StoredObject } from './stored-object.ts';
import { TemporaryFile } from './temporary-file.ts';

export interface SaveContentOptions {
  readonly client: BackhaulClient;
  readonly stdout: Terminal;
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Fetches the finished object of an upload and checks it against its record. A file is checked before it gets
 * its name; what went to standard output or a device is out by the time that a mismatch shows.
 *
 * @returns what the bytes were compared by.
 * @throws BackhaulError `checksum_mismatch` among others.
 */
export async function saveContent(
  record: UploadRecord,
  destination: Destination,
  options: SaveContentOptions,
): Promise<ContentCheck['by']> {
  const { client, stdout } = options;
  const sizeBytes = record.size ?? 0;
  const object = new StoredObject({ client, uploadId: record.upload_id, sizeBytes });
  const check = contentCheck(record);
  switch (destination.kind) {
    case 'stdout':
      await copyInOrder(object, check, { ...options, write: async (chunk) => await writeTo(stdout, chunk) });
      break;
    case 'device': {
      await using device = await open(destination.path, 'w');
      await copyInOrder(object, check, {
        ...options,
        // appendFile writes all of a chunk, which write alone need not on a pipe.
        write: async (chunk) => await device.appendFile(chunk),
      });
      break;
    }
    case 'file':
      await copyToFile(object, check, { ...options, path: destination.path });
  }
  return check.by;
}

type Copy = Pick<SaveContentOptions, 'signal' | 'onProgress'>;

async function copyInOrder(
  object: StoredObject,
  check: ContentCheck,
  { write, signal, onProgress }: Copy & { readonly write: (chunk: Uint8Array) => Promise<void> },
): Promise<void> {
  const { sizeBytes } = object;
  const writeAt = async (chunk: Uint8Array, position: number): Promise<void> => {
    check.update(chunk);
    await write(chunk);
    onProgress(position + chunk.length, sizeBytes);
  };
  await fetchObject(object, { sizeBytes, write: writeAt, signal, parallel: false });
  check.finish();
}

async function copyToFile(
  object: StoredObject,
  check: ContentCheck,
  { path, signal, onProgress }: Copy & { readonly path: string },
): Promise<void> {
  const { sizeBytes } = object;
  await using file = await TemporaryFile.beside(path);
  let done = 0;
  const write = async (chunk: Uint8Array, position: number): Promise<void> => {
    await file.writeAt(chunk, position);
    done += chunk.length;
    onProgress(done, sizeBytes);
  };
  await fetchObject(object, { sizeBytes, write, signal, parallel: true });
  // Ranges came in any order; what counts is what is on the disk now.
  for await (const chunk of file.read(signal)) check.update(chunk);
  check.finish();
  await file.commit();
}

async function writeTo(stdout: Terminal, chunk: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
