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
import { type NamingCalls, namingCalls, takeFreeName } from './name-file.ts';
import { asOutputError, OutputError } from './output-error.ts';
import { copyNoted, readNotes, writeAll, writeNote } from './part-notes.ts';
import type { ByteRange } from './stored-object.ts';

/** How often the place in a range is noted: what is fetched again after `kill -9` is less than this, for each range. */
const NOTE_EVERY_BYTES = 1024 * 1024;

/** Where there is no room, what was written is removed, so that the disk is as it was before. */
const withoutRoom: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Errors of `chmod` on a file of our own where a file system keeps no modes: FAT, some network and FUSE mounts. */
const withoutModes: ReadonlySet<unknown> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

export interface PartFileOptions {
  /** Whether to go on with what an earlier fetch left, and to leave what this one has if it does not end. */
  readonly resume: boolean;
  readonly signal?: AbortSignal;
  readonly calls?: NamingCalls;
}

/**
 * A file that appears at its path whole or not at all. Until then it stands beside it, behind its content a note of how
 * far each range is. Disposed without `commit`, it stays for the next fetch of the same, unless it holds nothing.
 */
export class PartFile implements AsyncDisposable {
  /** What an earlier fetch had left. */
  readonly resumedBytes: number;
  readonly #target: string;
  readonly #record: UploadRecord;
  readonly #path: string;
  readonly #sizeBytes: number;
  readonly #handle: FileHandle;
  readonly #calls: NamingCalls;
  readonly #ranges: readonly ByteRange[];
  /** How many bytes of each range are there. */
  readonly #done: Uint32Array;
  readonly #noted: Uint32Array;
  #keep: boolean;
  #open = true;

  private constructor(
    place: { readonly target: string; readonly record: UploadRecord; readonly path: string },
    { handle, done }: OpenPart,
    { resume, calls = namingCalls }: PartFileOptions,
  ) {
    this.#target = place.target;
    this.#record = place.record;
    this.#path = place.path;
    this.#handle = handle;
    this.#sizeBytes = sizeOf(place.record);
    this.#ranges = [...cutIntoRanges(this.#sizeBytes)];
    this.#done = done;
    this.#noted = done.slice();
    this.#calls = calls;
    this.#keep = resume;
    this.resumedBytes = this.#doneBytes();
  }

  /**
   * In the same directory, because a rename is atomic only within one file system. Until `commit` only its owner can
   * read it: the file that it replaces may be private.
   *
   * @throws OutputError
   */
  static async beside(file: string, record: UploadRecord, options: PartFileOptions): Promise<PartFile> {
    const target = path.resolve(file);
    const part = newPartPath(target, record);
    try {
      const names = options.resume ? await listParts(target) : undefined;
      const leftover = names && (await takeLeftover(part, names, { target, record }));
      const opened = await openPart(part, leftover, { sizeBytes: sizeOf(record), signal: options.signal });
      // What cannot be found again is not left.
      return new PartFile({ target, record, path: part }, opened, {
        ...options,
        resume: names !== undefined,
      });
    } catch (error) {
      releasePart(part);
      throw asOutputError(error, file);
    }
  }

  /** What has to be fetched yet. An empty object is one empty range. */
  *missing(): Generator<ByteRange, void, undefined> {
    for (const [index, { start, end }] of this.#ranges.entries()) {
      const from = start + (this.#done[index] ?? 0);
      if (from < end || this.#sizeBytes === 0) yield { start: from, end };
    }
  }

  /** The chunks of a range come in order. */
  async writeAt(chunk: Uint8Array, position: number): Promise<void> {
    try {
      await writeAll(this.#handle, chunk, position);
      const index = Math.floor(position / RANGE_BYTES);
      this.#done[index] = position + chunk.length - index * RANGE_BYTES;
      // After the bytes: what is noted is there.
      if (this.#done[index] - (this.#noted[index] ?? 0) >= NOTE_EVERY_BYTES) await this.#note(index);
    } catch (error) {
      const failure = asOutputError(error, this.#target);
      if (failure instanceof OutputError && withoutRoom.has(failure.errno)) this.#keep = false;
      throw failure;
    }
  }

  /** The content, from its start. */
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
   * Durable first, then visible.
   *
   * @throws OutputError, with `EEXIST` if the path exists by now and may not be replaced.
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

  /** Nothing of it can be used. */
  discard(): void {
    this.#keep = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const keep = this.#open && this.#keep && this.#doneBytes() > 0;
    try {
      if (keep) for (const index of this.#done.keys()) await this.#note(index);
    } finally {
      await this.#close();
      // After a rename there is nothing of this name any more; after a link it is the second name.
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

  /** Another fetch of the same may have taken this one for ended: what bears the name then is not what was compared. */
  async #assertThere(): Promise<void> {
    const own = await this.#handle.stat({ bigint: true });
    const there = await lstat(this.#path, { bigint: true }).catch(() => undefined);
    // Of one name in one directory the device is the same, and is not told alike on Windows.
    if (there?.ino === own.ino) return;
    throw new OutputError(
      this.#target,
      'ESTALE',
      `${this.#target} is not written: the part file beside it was removed, or taken by another fetch.`,
    );
  }

  #doneBytes(): number {
    return this.#done.reduce((sum, done) => sum + done, 0);
  }

  /** A new file has the umask's mode; one that is replaced passes its own on, without the right to be run. */
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

/** Its writer, if it lives on, misses its part when it is done, and writes to nothing of ours until then. */
async function copyLeftover(leftover: Leftover, handle: FileHandle, content: Content): Promise<Uint32Array> {
  await using source = leftover.handle;
  try {
    const done = await copyNoted(source, handle, content);
    await rm(leftover.path, { force: true });
    return done;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && withoutRoom.has(String(error.code)))) throw error;
    // There is no room for both: all is fetched again.
    await rm(leftover.path, { force: true });
    await handle.truncate(0);
    return await readNotes(handle, content.sizeBytes);
  }
}

function sizeOf({ size }: UploadRecord): number {
  return size ?? 0;
}

/** Windows cannot open a directory, and some file systems cannot sync one; the file itself is safe by then. */
async function syncDirectory(directory: string): Promise<void> {
  try {
    await using handle = await open(directory);
    await handle.sync();
  } catch {
    // See above.
  }
}
