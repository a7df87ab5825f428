import { type FileHandle, lstat, open } from 'node:fs/promises';
import { BackhaulError, type ChangePolicy, type Fingerprint, versionDifferences } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';
import type { AllowList } from '../policy/allow-list.ts';
import { fileError } from './file-error.ts';
import { fingerprintOf, modifiedAt } from './fingerprint.ts';
import { lookAt, type Look } from './look.ts';

export interface OpenTools {
  readonly allowList: AllowList;
  readonly platform: Platform;
}

/** Which version of the file is wanted. */
export interface WantedVersion {
  readonly onChange: ChangePolicy;
  /** Of an earlier attempt that goes on; undefined for whatever version is there now. */
  readonly resume?: { readonly size: number; readonly fingerprint: Fingerprint } | undefined;
}

/**
 * Opens a file that the owner allows, and nothing else: spelling first, then type, then the descriptor itself.
 *
 * @throws BackhaulError `path_not_allowed`, `invalid_path`, `file_not_found`, `permission_denied`, `not_a_file`,
 *   `file_changed` if it surely is not the wanted version, …
 */
export async function openFile(
  asked: string,
  { allowList, platform }: OpenTools,
  { onChange, resume }: WantedVersion = { onChange: 'fail' },
): Promise<OpenedFile> {
  const path = await allowList.admit(asked);
  let handle: FileHandle | null = null;
  try {
    // Looked at before it is opened: opening a device can itself do something.
    requireRegularFile(await lstat(path), asked);
    handle = await open(path, platform.fileFlags);
    requireRegularFile(await handle.stat(), asked);
    await settleTimes(handle);
    const stats = await handle.stat({ bigint: true });
    await allowList.confirm(await platform.whereIs(handle, path), asked);
    if (stats.size > BigInt(Number.MAX_SAFE_INTEGER)) throw new BackhaulError('file_too_large');
    const fingerprint = fingerprintOf(stats);
    if (resume !== undefined) requireVersion(resume.fingerprint, fingerprint, { asked, onChange });
    return new OpenedFile(handle, {
      path: asked,
      place: path,
      name: platform.path.basename(path),
      sizeBytes: resume?.size ?? Number(stats.size),
      fingerprint,
      modifiedAt: modifiedAt(stats),
      onChange,
      platform,
    });
  } catch (error) {
    await handle?.close();
    if (isErrno(error, 'ELOOP')) throw isSymbolicLink(asked);
    throw fileError(error, asked, platform);
  }
}

interface TypedEntry {
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

function requireRegularFile(stats: TypedEntry, asked: string): void {
  if (stats.isSymbolicLink()) throw isSymbolicLink(asked);
  if (!stats.isFile()) {
    throw new BackhaulError('not_a_file', `${JSON.stringify(asked)} is not a regular file.`);
  }
}

function requireVersion(
  before: Fingerprint,
  now: Fingerprint,
  { asked, onChange }: { asked: string; onChange: ChangePolicy },
): void {
  const changed = versionDifferences(before, now, onChange);
  if (changed.length === 0) return;
  const how = `its ${changed.join(' and ')} changed`;
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(asked)} changed while the upload was interrupted: ${how}.`,
  );
}

/**
 * A page of a mapped file moves the file's times at the first write only, until it has been written back: a writer
 * that dirtied it before would go unnoticed. Best effort, because some systems grant it to writers alone.
 */
async function settleTimes(handle: FileHandle): Promise<void> {
  await handle.datasync().catch(() => {});
}

function isSymbolicLink(asked: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(asked)} is a symbolic link, which the agent does not follow; ask for the file it leads to.`,
  );
}

function isErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

interface Opened {
  /** As it was asked for. */
  readonly path: string;
  /** What was opened. */
  readonly place: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly fingerprint: Fingerprint;
  readonly modifiedAt: string;
  readonly onChange: ChangePolicy;
  readonly platform: Platform;
}

/** So soon after a look there is no need for another, in ms: on a fast line there would be one before each PUT. */
const FRESH_LOOK_MS = 100;

/** One file under one descriptor, from the first byte hashed to the last byte sent. */
export class OpenedFile {
  readonly #handle: FileHandle;
  readonly #opened: Opened;
  #closing: Promise<void> | null = null;
  /** Of `performance.now()`. */
  #seenUnchangedAt = performance.now();

  constructor(handle: FileHandle, opened: Opened) {
    this.#handle = handle;
    this.#opened = opened;
  }

  /** For who reads from it beside this object; not beyond its close. */
  get fd(): number {
    return this.#handle.fd;
  }
  /** Its path as it was opened. */
  get place(): string {
    return this.#opened.place;
  }
  get name(): string {
    return this.#opened.name;
  }
  /** What is to be sent; with `prefix` the file may have grown beyond it. */
  get sizeBytes(): number {
    return this.#opened.sizeBytes;
  }
  /** As it was opened. */
  get fingerprint(): Fingerprint {
    return this.#opened.fingerprint;
  }
  get onChange(): ChangePolicy {
    return this.#opened.onChange;
  }
  /** RFC 3339. */
  get modifiedAt(): string {
    return this.#opened.modifiedAt;
  }

  /**
   * Fills `buffer` from `offset` on.
   *
   * @throws BackhaulError `file_changed` if the file ends before, `read_failed` if the disk fails.
   */
  async readFully(buffer: Uint8Array, offset: number): Promise<void> {
    for (let filled = 0; filled < buffer.length;) {
      const bytesRead = await this.#read(buffer.subarray(filled), offset + filled);
      if (bytesRead === 0) throw this.endedEarly();
      filled += bytesRead;
    }
  }

  /**
   * @returns The present fingerprint; it differs from the first one in its ctime at most, or by what was appended.
   * @throws BackhaulError `file_changed` if this is no longer the version that was fingerprinted.
   */
  async assertUnchanged(): Promise<Fingerprint> {
    const look = await lookAt(this.#handle, this.#opened.place);
    this.requireUnchanged(look);
    return look.fingerprint;
  }

  /**
   * As `assertUnchanged`, up to a moment ago, and but for its path: another file there does not touch the bytes that
   * the descriptor shows.
   */
  async assertUntouched(): Promise<void> {
    if (performance.now() - this.#seenUnchangedAt < FRESH_LOOK_MS) return;
    const present = await this.#handle.stat({ bigint: true });
    this.requireUnchanged({ fingerprint: fingerprintOf(present), there: null });
  }

  /**
   * As `assertUnchanged`, for who has looked already.
   *
   * A new version may have been written beside the file and renamed over it: the descriptor still shows the old one,
   * whole, but that is not what whoever asks for this path now gets. Only moved away or deleted it is the newest there
   * is. With `prefix` it is a log that was rotated, whose beginning is what is wanted.
   */
  requireUnchanged({ fingerprint: present, there }: Look): void {
    const { fingerprint, onChange } = this.#opened;
    const changed = versionDifferences(fingerprint, present, onChange);
    if (changed.length > 0) throw this.#changed(`its ${changed.join(' and ')} changed`);
    this.#seenUnchangedAt = performance.now();
    if (onChange === 'prefix' || there === null) return;
    if (there.inode !== present.inode || there.device !== present.device) {
      throw this.#changed('another file has taken its place');
    }
  }

  /** @throws BackhaulError `file_changed` if there is more than its size says, as in a kernel's pseudo file. */
  async assertEnds(): Promise<void> {
    if (this.#opened.onChange === 'prefix') return;
    const bytesRead = await this.#read(Buffer.alloc(1), this.#opened.sizeBytes);
    if (bytesRead > 0) throw this.#changed('it goes on after its end');
  }

  /** For who comes to the file's end too soon. */
  endedEarly(): BackhaulError {
    return this.#changed('it became shorter');
  }

  /** @param error What the operating system said. */
  readFailed(error: unknown): BackhaulError {
    return fileError(error, this.#opened.path, this.#opened.platform);
  }

  /** For who finds other bytes than those announced. */
  contentChanged(): BackhaulError {
    return this.#changed('its content changed');
  }

  close(): Promise<void> {
    this.#closing ??= this.#handle.close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(buffer: Uint8Array, position: number): Promise<number> {
    try {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, position);
      return bytesRead;
    } catch (error) {
      throw this.readFailed(error);
    }
  }

  #changed(how: string): BackhaulError {
    return new BackhaulError(
      'file_changed',
      `${JSON.stringify(this.#opened.path)} changed while it was being read: ${how}.`,
    );
  }
}
