import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { PartContent } from '../body/digested-content.ts';
import type { Checksum } from '../checksum/algorithm.ts';
import { uniqueName } from './durable-file.ts';

export interface PartRecord {
  /** Part number, 1 to 10,000. */
  readonly number: number;
  readonly sizeBytes: number;
  /** MD5 in hexadecimal: the part's ETag. */
  readonly md5: string;
  readonly checksum: Checksum | undefined;
  readonly modifiedAtMs: number;
}

/*
 * A part file contains the part's bytes, its record as JSON, and the JSON's length in 4 bytes. With one file and one
 * rename, bytes and record are always consistent.
 */
const FOOTER_LENGTH_BYTES = 4;
const FOOTER_LIMIT_BYTES = 4096;
/** A stalled upload holds less than this in memory, an active one up to twice as much; larger batches are not faster. */
const WRITE_BATCH_BYTES = 128 * 1024;
/** Limits the number of chunks as well, because many tiny chunks use much memory. */
const WRITE_BATCH_CHUNKS = 512;

async function writeFully(file: FileHandle, buffers: readonly Buffer[]): Promise<void> {
  const totalBytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  const { bytesWritten } = await file.writev(buffers);
  if (bytesWritten === totalBytes) return;
  // A short write, such as on a full disk: writing the rest either succeeds or throws the reason.
  await file.writeFile(Buffer.concat(buffers).subarray(bytesWritten));
}

/** A complete, verified part in the temporary directory. Disposing removes it unless it was moved. */
export class StagedPart implements AsyncDisposable {
  readonly path: string;
  readonly record: PartRecord;

  constructor(path: string, record: PartRecord) {
    this.path = path;
    this.record = record;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { force: true });
  }
}

interface StageOptions {
  readonly temporary: string;
  readonly number: number;
  readonly nowMs: () => number;
}

/** Writes content to a temporary file and syncs it. Removes the file if the content fails verification. */
export async function stagePart(content: PartContent, options: StageOptions): Promise<StagedPart> {
  const path = join(options.temporary, uniqueName());
  const file = await open(path, 'wx', 0o600);
  let writing: Promise<void> = Promise.resolve();
  try {
    let batch: Buffer[] = [];
    let batchBytes = 0;
    for await (const chunk of content) {
      batch.push(chunk);
      batchBytes += chunk.length;
      if (batchBytes < WRITE_BATCH_BYTES && batch.length < WRITE_BATCH_CHUNKS) continue;
      await writing;
      // This batch is written while the next one is received and hashed.
      writing = writeFully(file, batch);
      writing.catch(() => undefined);
      batch = [];
      batchBytes = 0;
    }
    const { sizeBytes, md5, checksum } = content;
    const record = { number: options.number, sizeBytes, md5, checksum, modifiedAtMs: options.nowMs() };
    const json = Buffer.from(JSON.stringify(record));
    const length = Buffer.alloc(FOOTER_LENGTH_BYTES);
    length.writeUInt32BE(json.length);
    await writing;
    await writeFully(file, [...batch, json, length]);
    await file.sync();
    await file.close();
    return new StagedPart(path, record);
  } catch (error) {
    await writing.catch(() => undefined);
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw error;
  }
}

/** Reads the record from the end of a part file. @throws Error if the file is not a part file */
export async function readPartRecord(path: string): Promise<PartRecord> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(Math.min(size, FOOTER_LIMIT_BYTES));
    await file.read(tail, 0, tail.length, size - tail.length);
    const end = tail.length - FOOTER_LENGTH_BYTES;
    const length = end < 0 ? -1 : tail.readUInt32BE(end);
    if (length < 0 || length > end) throw new Error(`${path} is not a part file.`);
    return JSON.parse(tail.toString('utf8', end - length, end)) as PartRecord;
  } finally {
    await file.close();
  }
}
