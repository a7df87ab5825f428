import type { UploadRecord } from '@backhaul/protocol';
import type { BackhaulClient } from '../backhaul-client.ts';
import { type ContentCheck, contentCheck } from './content-check.ts';
import { cutIntoRanges, fetchObject } from './fetch-object.ts';
import { PartFile } from './part-file.ts';
import { StoredObject } from './stored-object.ts';

export interface CopyContentOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface SaveContentOptions extends CopyContentOptions {
  /** Whether a file at the path may be replaced; false by default. */
  readonly overwrite?: boolean;
}

export interface SavedContent {
  /** What the bytes were compared by. */
  readonly comparedBy: ContentCheck['by'];
  /** What an earlier fetch that was killed or cut off had left, and was not fetched again. */
  readonly resumedBytes: number;
}

/**
 * Fetches the finished object of a completed upload into a file, several ranges at a time, and compares it with its
 * record before it gets its name: the path holds what was there, or the whole file. What a fetch that did not end has
 * left beside the path is taken up again, even after `kill -9`.
 *
 * @throws OutputError if the file cannot be written or its name is taken; BackhaulError `checksum_mismatch` among
 *   others; the signal's reason.
 */
export async function saveContent(
  client: BackhaulClient,
  record: UploadRecord,
  path: string,
  { overwrite = false, signal, onProgress = () => undefined }: SaveContentOptions,
): Promise<SavedContent> {
  const sizeBytes = record.size ?? 0;
  const object = new StoredObject({ client, uploadId: record.upload_id, sizeBytes });
  for (let isFirst = true; ; isFirst = false) {
    const check = contentCheck(record);
    // Without a checksum nothing would tell whether a part that a power cut left is what it says.
    await using part = await PartFile.beside(path, record, {
      resume: isFirst && check.by !== 'size',
      signal,
    });
    let done = part.resumedBytes;
    if (done > 0) onProgress(done, sizeBytes);
    const write = async (chunk: Uint8Array, position: number): Promise<void> => {
      await part.writeAt(chunk, position);
      done += chunk.length;
      onProgress(done, sizeBytes);
    };
    await fetchObject(object, { ranges: part.missing(), write, signal, parallel: true });
    // Ranges came in any order; what counts is what is on the disk now.
    for await (const chunk of part.read(signal)) check.update(chunk);
    try {
      check.finish();
    } catch (error) {
      part.discard();
      // It may be the old part that is wrong, after a power cut.
      if (part.resumedBytes > 0) continue;
      throw error;
    }
    await part.commit({ overwrite });
    return { comparedBy: check.by, resumedBytes: part.resumedBytes };
  }
}

/**
 * Hands the bytes of a completed upload's object to `write`, in order, and compares them with the record at the end:
 * they are out by the time that a mismatch shows.
 *
 * @returns what the bytes were compared by.
 * @throws BackhaulError `checksum_mismatch` among others; what `write` throws.
 */
export async function copyContent(
  client: BackhaulClient,
  record: UploadRecord,
  write: (chunk: Uint8Array) => Promise<void>,
  options: CopyContentOptions,
): Promise<ContentCheck['by']> {
  const check = contentCheck(record);
  const checked = async (chunk: Uint8Array): Promise<void> => {
    check.update(chunk);
    await write(chunk);
  };
  await readContent(client, record, checked, options);
  check.finish();
  return check.by;
}

/** The same, compared with nothing but the size. */
export async function readContent(
  client: BackhaulClient,
  record: UploadRecord,
  write: (chunk: Uint8Array) => Promise<void>,
  { signal, onProgress = () => undefined }: CopyContentOptions,
): Promise<void> {
  const sizeBytes = record.size ?? 0;
  const object = new StoredObject({ client, uploadId: record.upload_id, sizeBytes });
  const writeAt = async (chunk: Uint8Array, position: number): Promise<void> => {
    await write(chunk);
    onProgress(position + chunk.length, sizeBytes);
  };
  await fetchObject(object, { ranges: cutIntoRanges(sizeBytes), write: writeAt, signal, parallel: false });
}
