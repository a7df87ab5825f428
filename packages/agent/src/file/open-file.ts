import { type FileHandle, lstat, open } from 'node:fs/promises';
import {
  BackhaulError,
  type ChangePolicy,
  type Fingerprint,
  resumeDifferences,
  versionDifferences,
} from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';
import type { AllowList } from '../policy/allow-list.ts';
import { fileError } from './file-error.ts';
import type { FileGate } from './file-gate.ts';
import { type FileState, fingerprintOf, modifiedAt, statFile } from './fingerprint.ts';
import { GatedFile } from './gated-file.ts';
import { statOpened, type TimestampTrust } from './timestamp-trust.ts';

export interface OpenDeps {
  readonly allowList: AllowList;
  readonly platform: Platform;
  readonly gate: FileGate;
}

/** The version of the file to open. */
export interface WantedVersion {
  readonly onChange: ChangePolicy;
  /** The version of an earlier attempt to continue; undefined for the current version. */
  readonly resume?: { readonly size: number; readonly fingerprint: Fingerprint } | undefined;
  /**
   * Whether to bypass the page cache from the start on file systems that others change behind it. A version that starts
   * with stale pages would be reported as changed each time.
   */
  readonly bypassCache?: boolean;
}

/**
 * Opens a file if the owner allows it. Checks the path first, then the file type, then the opened descriptor.
 *
 * @throws BackhaulError `path_not_allowed`, `invalid_path`, `file_not_found`, `permission_denied`, `not_a_file`,
 *   `file_changed` if it is certainly not the wanted version, …
 */
export async function openFile(
  requested: string,
  { allowList, platform, gate }: OpenDeps,
  {
    onChange = 'fail',
    resume,
    bypassCache = false,
    signal = new AbortController().signal,
  }: Partial<WantedVersion> & { signal?: AbortSignal } = {},
): Promise<OpenedFile> {
  let file: GatedFile | null = null;
  try {
    const { path, realPath } = await allowList.checkPath(requested);
    // Checked before the open, because opening a device can have side effects.
    requireRegularFile(await gate.run(realPath, () => lstat(realPath), { signal }), requested);
    const opening = () => open(realPath, platform.fileFlags);
    file = await GatedFile.open(realPath, opening, { gate, signal });
    requireRegularFile(await file.call((handle) => handle.stat()), requested);
    await allowList.checkRealPath(file, { opened: realPath, requested });
    const { stats, trust } = await statOpened(file, { platform, realPath });
    if (stats.size > BigInt(Number.MAX_SAFE_INTEGER)) throw new BackhaulError('file_too_large');
    const fingerprint = fingerprintOf(stats);
    if (resume !== undefined) requireVersion(resume, fingerprint, { requested, onChange });
    const opened = new OpenedFile(file, {
      path: requested,
      normalizedPath: path,
      realPath,
      name: platform.path.basename(path),
      sizeBytes: resume?.size ?? Number(stats.size),
      wholeSizeBytes: Number(stats.size),
      fingerprint,
      modifiedAt: modifiedAt(stats),
      trust,
      onChange,
      platform,
    });
    return bypassCache && trust.fileSystem === 'shared' ? await reopenDirect(opened) : opened;
  } catch (error) {
    await file?.close();
    signal.throwIfAborted();
    throw fileError(error, requested, platform);
  }
}

/** Reopens the file to bypass the page cache; returns it unchanged if the file system refuses that. */
async function reopenDirect(cached: OpenedFile): Promise<OpenedFile> {
  let direct: OpenedFile | null = null;
  try {
    direct = await cached.reopen({ direct: true });
    await direct.readFully(Buffer.alloc(Math.min(1, cached.sizeBytes)), 0);
  } catch {
    await direct?.close();
    return cached;
  }
  await cached.close();
  return direct;
}

interface TypedEntry {
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

function requireRegularFile(stats: TypedEntry, requested: string): void {
  if (stats.isSymbolicLink()) throw isSymbolicLink(requested);
  if (!stats.isFile()) {
    throw new BackhaulError('not_a_file', `${JSON.stringify(requested)} is not a regular file.`);
  }
}

function requireVersion(
  { size, fingerprint: before }: NonNullable<WantedVersion['resume']>,
  now: Fingerprint,
  { requested, onChange }: { requested: string; onChange: ChangePolicy },
): void {
  const changed: string[] = resumeDifferences(before, now, onChange);
  // The server sends both, so they may be inconsistent.
  const fits = onChange === 'prefix' ? BigInt(size) <= BigInt(now.size) : String(size) === now.size;
  if (!fits && !changed.includes('size')) changed.push('size');
  if (changed.length === 0) return;
  const change = `its ${changed.join(' and ')} changed`;
  const advice = resumeDifferences(before, now, 'prefix').length === 0 ? growthAdvice(before, now) : '';
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(requested)} changed while the upload was interrupted: ${change}.${advice}`,
  );
}

/** Advice for a file that only grew, such as a log. */
function growthAdvice(before: Fingerprint, now: Fingerprint): string {
  if (BigInt(now.size) <= BigInt(before.size)) return '';
  return ' The file grew: if data is only appended to it, as in a log, use --on-change prefix (in the API "on_change": "prefix"), which uploads the content from the start of the upload.';
}

function isSymbolicLink(requested: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(requested)} is a symbolic link, which the agent does not follow; request its target instead.`,
  );
}

interface Opened {
  /** The path as requested. */
  readonly path: string;
  /** The same, normalized. */
  readonly normalizedPath: string;
  /** The same, with links resolved. */
  readonly realPath: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly wholeSizeBytes: number;
  readonly fingerprint: Fingerprint;
  readonly modifiedAt: string;
  readonly trust: TimestampTrust;
  readonly onChange: ChangePolicy;
  readonly platform: Platform;
}

/** Interval between checks in milliseconds: on a fast network there would be one before each PUT. */
const CHECK_INTERVAL_MS = 100;

/** An open file; one descriptor is used from the first byte hashed to the last byte sent. */
export class OpenedFile {
  readonly #file: GatedFile;
  readonly #opened: Opened;
  /** From `performance.now()`. */
  #unchangedAt = performance.now();

  constructor(file: GatedFile, opened: Opened) {
    this.#file = file;
    this.#opened = opened;
  }

  /** @see GatedFile.fd */
  get fd(): number {
    return this.#file.fd;
  }
  /** The normalized path. */
  get normalizedPath(): string {
    return this.#opened.normalizedPath;
  }
  get name(): string {
    return this.#opened.name;
  }
  /** Number of bytes to send; with `prefix` the file may have grown beyond it. */
  get sizeBytes(): number {
    return this.#opened.sizeBytes;
  }
  /** Size of the file when it was opened. */
  get wholeSizeBytes(): number {
    return this.#opened.wholeSizeBytes;
  }
  /** Fingerprint at the open. */
  get fingerprint(): Fingerprint {
    return this.#opened.fingerprint;
  }
  get onChange(): ChangePolicy {
    return this.#opened.onChange;
  }
  /** Whether an unchanged ctime proves unchanged bytes. */
  get trust(): TimestampTrust {
    return this.#opened.trust;
  }

  /** Modification time in RFC 3339. */
  get modifiedAt(): string {
    return this.#opened.modifiedAt;
  }

  /**
   * Fills `buffer`, starting at `offset` of the file.
   *
   * @throws BackhaulError `file_changed` if the file is too short, `read_failed` if the disk fails.
   */
  async readFully(buffer: Uint8Array, offset: number): Promise<void> {
    for (let filled = 0; filled < buffer.length;) {
      const bytesRead = await this.#read(buffer.subarray(filled), offset + filled);
      if (bytesRead === 0) throw this.endedEarly();
      filled += bytesRead;
    }
  }

  /**
   * @returns The current fingerprint; it may differ from the first one only in its ctime or by appended data.
   * @throws BackhaulError `file_changed` if this is no longer the version that was fingerprinted.
   */
  async assertUnchanged(): Promise<Fingerprint> {
    const state = await statFile(this.#file, this.#opened.normalizedPath).catch((error: unknown) => {
      throw this.readFailed(error);
    });
    this.requireUnchanged(state);
    return state.fingerprint;
  }

  /**
   * Like `assertUnchanged`, but skipped right after another check, and without the path: another file at the path does
   * not affect the bytes of this descriptor.
   */
  async assertUntouched(): Promise<void> {
    if (performance.now() - this.#unchangedAt < CHECK_INTERVAL_MS) return;
    const stats = await this.#call((handle) => handle.stat({ bigint: true }));
    this.requireUnchanged({ fingerprint: fingerprintOf(stats), atPath: null });
  }

  /**
   * Like `assertUnchanged`, for a state that was read elsewhere.
   *
   * If a new version was renamed over the file, the descriptor still has the complete old one, but it is no longer the
   * file at this path. If the file was only moved or deleted, the old version is still the newest. With `prefix` the
   * file is a rotated log, whose beginning is wanted.
   */
  requireUnchanged({ fingerprint: current, atPath }: FileState): void {
    const { fingerprint, onChange } = this.#opened;
    const changed = versionDifferences(fingerprint, current, onChange);
    if (changed.length > 0) {
      const onlyGrew = versionDifferences(fingerprint, current, 'prefix').length === 0;
      const advice = onlyGrew ? growthAdvice(fingerprint, current) : '';
      throw this.#changed(`its ${changed.join(' and ')} changed`, advice);
    }
    this.#unchangedAt = performance.now();
    if (onChange === 'prefix' || atPath === null) return;
    if (atPath.inode !== current.inode || atPath.device !== current.device) {
      throw this.#changed('it was replaced by another file');
    }
  }

  /**
   * Checks that the file ends at its size, or has only grown since, with `prefix`.
   *
   * @throws BackhaulError `file_changed`; `not_a_file` if it contains more than its size, like pseudo files of a kernel.
   */
  async assertEnds(): Promise<void> {
    const { path, onChange, sizeBytes } = this.#opened;
    const bytesRead = await this.#read(Buffer.alloc(1), sizeBytes);
    if (bytesRead === 0) return;
    const stats = await this.#file.call((handle) => handle.stat({ bigint: true }));
    const { size } = stats;
    if (size <= BigInt(sizeBytes)) {
      throw new BackhaulError(
        'not_a_file',
        `${JSON.stringify(path)} contains more than the ${size} bytes that its file system reports as its size, like pseudo files do; copy it to a regular file and request that file.`,
      );
    }
    if (onChange !== 'prefix') {
      throw this.#changed('it grew', growthAdvice(this.#opened.fingerprint, fingerprintOf(stats)));
    }
  }

  /** Error for a file that is shorter than expected. */
  endedEarly(): BackhaulError {
    return this.#changed('it is shorter than before');
  }

  /** @param error Error of the operating system. */
  readFailed(error: unknown): BackhaulError {
    return fileError(error, this.#opened.path, this.#opened.platform);
  }

  /** Error for bytes that differ from those announced. */
  contentChanged(): BackhaulError {
    return this.#changed('its content changed');
  }

  /** Error for a file that was modified again during each verification reading. */
  keepsChanging(readings: number): BackhaulError {
    const name = JSON.stringify(this.#opened.path);
    return new BackhaulError(
      'file_changed',
      `${name} was read ${readings} more times to check for changes, and its ctime changed each time: a program keeps writing to it or changing its mode, links or times. Stop that program during the upload, upload a copy or snapshot of the file, or use --on-change prefix if data is only appended.`,
    );
  }

  /**
   * Opens a second descriptor for the same file; the caller must close it before this one.
   *
   * @param options.direct Bypasses the page cache (`O_DIRECT`) where possible.
   * @throws BackhaulError
   */
  async reopen({ direct }: { readonly direct: boolean }): Promise<OpenedFile> {
    const { path, realPath, platform } = this.#opened;
    let file: GatedFile | null = null;
    try {
      file = await this.#file.reopen((handle) => platform.reopen(handle, realPath, { direct }));
      const [first, second] = await Promise.all(
        [this.#file, file].map((one) => one.call((handle) => handle.stat({ bigint: true }))),
      );
      if (first?.dev !== second?.dev || first?.ino !== second?.ino) {
        throw this.#changed('it was replaced by another file');
      }
      return new OpenedFile(file, this.#opened);
    } catch (error) {
      await file?.close();
      throw fileError(error, path, platform);
    }
  }

  /** @see GatedFile.keepOpen */
  keepOpen(done: Promise<unknown>): void {
    this.#file.keepOpen(done);
  }

  /** @see GatedFile.reportHanging */
  reportHanging(done: Promise<unknown>): void {
    this.#file.reportHanging(done);
  }

  /** @see GatedFile.close */
  close(): Promise<void> {
    return this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(buffer: Uint8Array, position: number): Promise<number> {
    const { bytesRead } = await this.#call((handle) => handle.read(buffer, 0, buffer.length, position));
    return bytesRead;
  }

  async #call<Value>(call: (handle: FileHandle) => Promise<Value>): Promise<Value> {
    try {
      return await this.#file.call(call);
    } catch (error) {
      throw this.readFailed(error);
    }
  }

  #changed(change: string, advice = ''): BackhaulError {
    return new BackhaulError(
      'file_changed',
      `${JSON.stringify(this.#opened.path)} changed while it was being read: ${change}.${advice}`,
    );
  }
}
