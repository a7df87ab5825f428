import { type FileHandle, lstat, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { UploadRecord } from '@backhaul/protocol';
import { cutIntoRanges, RANGE_BYTES } from './fetch-object.ts';
import {
  leavePart,
  type Leftover,
  listParts,
  newPartPath,
  releasePart,
  takeLeftover,
} from './leftover-parts.ts';
import {
  asOutputError,
  syncDirectory,
  type NamingCalls,
  namingCalls,
  OutputError,
  takeFreeName,
} from './output-file.ts';
import { copyNoted, readNotes, writeAll, writeNote } from './part-notes.ts';
import type { ByteRange } from './stored-object.ts';

/** Interval of progress notes: after `kill -9`, less than this is downloaded again for each range. */
const NOTE_EVERY_BYTES = 1024 * 1024;

/** Errors of a full disk; the part file is then removed to free its space. */
const withoutRoom: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Errors of `chmod` on file systems without modes: FAT, some network and FUSE mounts. */
const withoutModes: ReadonlySet<unknown> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

export interface PartFileOptions {
  /** Whether to resume an earlier download, and to leave the part file if this one is interrupted. */
  readonly resume: boolean;
  readonly signal?: AbortSignal;
  readonly calls?: NamingCalls;
}

/**
 * A file that appears at its path only when complete. Until then it is a part file in the same directory, with a progress
 * note for each range after its content. If disposed without `commit`, it is left for the next download, unless empty.
 */
export class PartFile implements AsyncDisposable {
  /** Bytes downloaded earlier. */
  readonly resumedBytes: number;
  readonly #target: string;
  readonly #record: UploadRecord;
  readonly #path: string;
  readonly #sizeBytes: number;
  readonly #handle: FileHandle;
  readonly #calls: NamingCalls;
  readonly #ranges: readonly ByteRange[];
  /** Number of bytes written of each range. */
  readonly #done: Uint32Array;
  readonly #noted: Uint32Array;
  #keep: boolean;
  #open = true;

  private constructor(
    file: { readonly target: string; readonly record: UploadRecord; readonly path: string },
    { handle, done }: OpenPart,
    { resume, calls = namingCalls }: PartFileOptions,
  ) {
    this.#target = file.target;
    this.#record = file.record;
    this.#path = file.path;
    this.#handle = handle;
    this.#sizeBytes = sizeOf(file.record);
    this.#ranges = [...cutIntoRanges(this.#sizeBytes)];
    this.#done = done;
    this.#noted = done.slice();
    this.#calls = calls;
    this.#keep = resume;
    this.resumedBytes = this.#doneBytes();
  }

  /**
   * Opens a part file in the directory of `file`, because a rename is atomic only within one file system. Until `commit`
   * only its owner can read it: the file that it replaces may be private.
   *
   * @throws OutputError
   */
  static async openFor(file: string, record: UploadRecord, options: PartFileOptions): Promise<PartFile> {
    const target = path.resolve(file);
    const part = newPartPath(target, record);
    try {
      const names = options.resume ? await listParts(target) : undefined;
      const leftover = names && (await takeLeftover(part, names, { target, record }));
      const opened = await openPart(part, leftover, { sizeBytes: sizeOf(record), signal: options.signal });
      // If the directory cannot be listed, the part file could not be found again, so it is not left.
      return new PartFile({ target, record, path: part }, opened, {
        ...options,
        resume: names !== undefined,
      });
    } catch (error) {
      releasePart(part);
      throw asOutputError(error, file);
    }
  }

  /** The ranges still to be downloaded. An empty object is one empty range. */
  *missing(): Generator<ByteRange, void, undefined> {
    for (const [index, { start, end }] of this.#ranges.entries()) {
      const from = start + (this.#done[index] ?? 0);
      if (from < end || this.#sizeBytes === 0) yield { start: from, end };
    }
  }

  /** Writes a chunk; the chunks of a range must be in order. */
  async writeAt(chunk: Uint8Array, position: number): Promise<void> {
    try {
      await writeAll(this.#handle, chunk, position);
      const index = Math.floor(position / RANGE_BYTES);
      this.#done[index] = position + chunk.length - index * RANGE_BYTES;
      // Noted after the bytes are written.
      if (this.#done[index] - (this.#noted[index] ?? 0) >= NOTE_EVERY_BYTES) await this.#note(index);
    } catch (error) {
      const failure = asOutputError(error, this.#target);
      if (failure instanceof OutputError && withoutRoom.has(failure.errno)) this.#keep = false;
      throw failure;
    }
  }

  /** Reads the content from its start. */
  async *read(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let position = 0; position < this.#sizeBytes;) {
      signal.throwIfAborted();
      const length = Math.min(buffer.length, this.#sizeBytes - position);
      const { bytesRead } = await this.#handle.read(buffer, 0, length, position);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  }

  /**
   * Syncs the file, then renames it to its path.
   *
   * @throws OutputError, with `EEXIST` if the path now exists and may not be replaced.
   */
  async commit({ overwrite }: { readonly overwrite: boolean }): Promise<void> {
    try {
      await this.#handle.truncate(this.#sizeBytes);
      await this.#setMode({ overwrite });
      await this.#handle.sync();
      this.#keep = false;
      await this.#assertThere();
      await this.#close();
      if (overwrite) await this.#calls.rename(this.#path, this.#target);
      else await takeFreeName(this.#path, this.#target, this.#calls);
      await syncDirectory(path.dirname(this.#target));
    } catch (error) {
      throw asOutputError(error, this.#target);
    }
  }

  /** Marks the content as unusable, so that the part file is removed. */
  discard(): void {
    this.#keep = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const keep = this.#open && this.#keep && this.#doneBytes() > 0;
    try {
      if (keep) for (const index of this.#done.keys()) await this.#note(index);
    } finally {
      await this.#close();
      // After a rename this name no longer exists; after a link it is a second name of the file.
      if (keep) await leavePart(this.#path, this.#target, this.#record);
      else await rm(this.#path, { force: true });
      releasePart(this.#path);
    }
  }

  async #note(index: number): Promise<void> {
    const done = this.#done[index] ?? 0;
    if (done === this.#noted[index]) return;
    await writeNote(this.#handle, this.#sizeBytes, { index, done });
    this.#noted[index] = done;
  }

  /** Checks that the path is still this file: another download may have taken it over, assuming its writer had ended. */
  async #assertThere(): Promise<void> {
    const own = await this.#handle.stat({ bigint: true });
    const there = await lstat(this.#path, { bigint: true }).catch(() => undefined);
    // The device is not compared: it is the same for one directory, and Windows reports it inconsistently.
    if (there?.ino === own.ino) return;
    throw new OutputError(
      this.#target,
      'ESTALE',
      `${this.#target} is not written: its part file was removed or taken over by another download.`,
    );
  }

  #doneBytes(): number {
    return this.#done.reduce((sum, done) => sum + done, 0);
  }

  /** A new file gets the mode of the umask; a replaced one keeps its mode, without execute permission. */
  async #setMode({ overwrite }: { readonly overwrite: boolean }): Promise<void> {
    const before = overwrite ? await stat(this.#target).catch(() => undefined) : undefined;
    const mode = before === undefined ? 0o666 & ~process.umask() : before.mode & 0o666;
    try {
      await this.#handle.chmod(mode);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && withoutModes.has(error.code))) throw error;
    }
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }
}

interface OpenPart {
  readonly handle: FileHandle;
  readonly done: Uint32Array;
}

interface Content {
  readonly sizeBytes: number;
  readonly signal: AbortSignal | undefined;
}

async function openPart(part: string, leftover: Leftover | undefined, content: Content): Promise<OpenPart> {
  const handle = leftover?.isOwn === true ? leftover.handle : await open(part, 'wx+', 0o600);
  try {
    if (leftover === undefined || leftover.isOwn)
      return { handle, done: await readNotes(handle, content.sizeBytes) };
    return { handle, done: await copyLeftover(leftover, handle, content) };
  } catch (error) {
    await handle.close();
    if (leftover?.isOwn !== true) await rm(part, { force: true });
    throw error;
  }
}

/** If the writer is still running, it does not write to the copy, and fails at the end because its file is missing. */
async function copyLeftover(leftover: Leftover, handle: FileHandle, content: Content): Promise<Uint32Array> {
  await using source = leftover.handle;
  try {
    const done = await copyNoted(source, handle, content);
    await rm(leftover.path, { force: true });
    return done;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && withoutRoom.has(String(error.code)))) throw error;
    // There is not enough space for both files: download everything again.
    await rm(leftover.path, { force: true });
    await handle.truncate(0);
    return await readNotes(handle, content.sizeBytes);
  }
}

function sizeOf({ size }: UploadRecord): number {
  return size ?? 0;
}
