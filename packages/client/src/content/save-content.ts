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
  /** The property by which the bytes were compared. */
  readonly comparedBy: ContentCheck['by'];
  /** Bytes left by an interrupted download that were not downloaded again. */
  readonly resumedBytes: number;
}

/**
 * Downloads the object of a completed upload into a file, in parallel ranges, and compares it with its record before the
 * file is renamed to `path`: the path holds the old content or the complete file. Resumes an interrupted download, even
 * after `kill -9`.
 *
 * @throws OutputError if the file cannot be written or already exists; BackhaulError `checksum_mismatch` and others; the
 *   signal's reason.
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
    // Without a checksum, damage to the part file by a power failure would not be detected.
    await using part = await PartFile.openFor(path, record, {
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
    // Ranges were written in any order, so the checksum is computed from the file.
    for await (const chunk of part.read(signal)) check.update(chunk);
    try {
      check.finish();
    } catch (error) {
      part.discard();
      // The resumed part file may be damaged, for example by a power failure: start over.
      if (part.resumedBytes > 0) continue;
      throw error;
    }
    await part.commit({ overwrite });
    return { comparedBy: check.by, resumedBytes: part.resumedBytes };
  }
}

/**
 * Passes the bytes of a completed upload's object to `write`, in order, and compares them with the record at the end: a
 * mismatch is detected only after the bytes were written.
 *
 * @returns the property by which the bytes were compared.
 * @throws BackhaulError `checksum_mismatch` and others; errors of `write`.
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

/** The same, without comparing checksums. */
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
