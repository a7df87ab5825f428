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
import { fingerprintOf, modifiedAt } from './fingerprint.ts';
import { GatedFile } from './gated-file.ts';
import { lookAt, type Look } from './look.ts';
import { statOpened, type TimestampTrust } from './timestamp-trust.ts';

export interface OpenTools {
  readonly allowList: AllowList;
  readonly platform: Platform;
  readonly gate: FileGate;
}

/** Which version of the file is wanted. */
export interface WantedVersion {
  readonly onChange: ChangePolicy;
  /** Of an earlier attempt that goes on; undefined for whatever version is there now. */
  readonly resume?: { readonly size: number; readonly fingerprint: Fingerprint } | undefined;
  /**
   * Where others change files behind the page cache: whether to read past it from the start. A version that was begun
   * from old pages would be found changed each time.
   */
  readonly pastCache?: boolean;
}

/**
 * Opens a file that the owner allows, and nothing else: spelling first, then type, then the descriptor itself.
 *
 * @throws BackhaulError `path_not_allowed`, `invalid_path`, `file_not_found`, `permission_denied`, `not_a_file`,
 *   `file_changed` if it surely is not the wanted version, …
 */
export async function openFile(
  asked: string,
  { allowList, platform, gate }: OpenTools,
  {
    onChange = 'fail',
    resume,
    pastCache = false,
    signal = new AbortController().signal,
  }: Partial<WantedVersion> & { signal?: AbortSignal } = {},
): Promise<OpenedFile> {
  let file: GatedFile | null = null;
  try {
    const { path, realPath } = await allowList.admit(asked);
    // Looked at before it is opened: opening a device can itself do something.
    requireRegularFile(await gate.run(realPath, () => lstat(realPath), { signal }), asked);
    const opening = () => open(realPath, platform.fileFlags);
    file = await GatedFile.open(realPath, opening, { gate, signal });
    requireRegularFile(await file.call((handle) => handle.stat()), asked);
    await allowList.confirm(file, { opened: realPath, asked });
    const { stats, trust } = await statOpened(file, { platform, realPath });
    if (stats.size > BigInt(Number.MAX_SAFE_INTEGER)) throw new BackhaulError('file_too_large');
    const fingerprint = fingerprintOf(stats);
    if (resume !== undefined) requireVersion(resume, fingerprint, { asked, onChange });
    const opened = new OpenedFile(file, {
      path: asked,
      place: path,
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
    return pastCache && trust.fileSystem === 'shared' ? await openPastCache(opened) : opened;
  } catch (error) {
    await file?.close();
    signal.throwIfAborted();
    throw fileError(error, asked, platform);
  }
}

/** The same file by a descriptor that reads past the page cache; as it is, where the file system refuses that. */
async function openPastCache(cached: OpenedFile): Promise<OpenedFile> {
  let direct: OpenedFile | null = null;
  try {
    direct = await cached.openAgain({ direct: true });
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

function requireRegularFile(stats: TypedEntry, asked: string): void {
  if (stats.isSymbolicLink()) throw isSymbolicLink(asked);
  if (!stats.isFile()) {
    throw new BackhaulError('not_a_file', `${JSON.stringify(asked)} is not a regular file.`);
  }
}

function requireVersion(
  { size, fingerprint: before }: NonNullable<WantedVersion['resume']>,
  now: Fingerprint,
  { asked, onChange }: { asked: string; onChange: ChangePolicy },
): void {
  const changed: string[] = resumeDifferences(before, now, onChange);
  // The server says both, so they may disagree.
  const fits = onChange === 'prefix' ? BigInt(size) <= BigInt(now.size) : String(size) === now.size;
  if (!fits && !changed.includes('size')) changed.push('size');
  if (changed.length === 0) return;
  const how = `its ${changed.join(' and ')} changed`;
  const advice = resumeDifferences(before, now, 'prefix').length === 0 ? growthAdvice(before, now) : '';
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(asked)} changed while the upload was interrupted: ${how}.${advice}`,
  );
}

/** For a file that is the same one and became longer, as a log does: what to ask for instead. */
function growthAdvice(before: Fingerprint, now: Fingerprint): string {
  if (BigInt(now.size) <= BigInt(before.size)) return '';
  return ' It became longer: if it is only appended to, as a log is, use --on-change prefix (in the API "on_change": "prefix"), which delivers what was there at the start.';
}

function isSymbolicLink(asked: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(asked)} is a symbolic link, which the agent does not follow; ask for the file it leads to.`,
  );
}

interface Opened {
  /** As it was asked for. */
  readonly path: string;
  /** What was opened. */
  readonly place: string;
  /** The same without links. */
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

/** So soon after a look there is no need for another, in ms: on a fast line there would be one before each PUT. */
const FRESH_LOOK_MS = 100;

/** One file under one descriptor, from the first byte hashed to the last byte sent. */
export class OpenedFile {
  readonly #file: GatedFile;
  readonly #opened: Opened;
  /** Of `performance.now()`. */
  #seenUnchangedAt = performance.now();

  constructor(file: GatedFile, opened: Opened) {
    this.#file = file;
    this.#opened = opened;
  }

  /** @see GatedFile.fd */
  get fd(): number {
    return this.#file.fd;
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
  /** Of all that there was when it was opened, sent or not. */
  get wholeSizeBytes(): number {
    return this.#opened.wholeSizeBytes;
  }
  /** As it was opened. */
  get fingerprint(): Fingerprint {
    return this.#opened.fingerprint;
  }
  get onChange(): ChangePolicy {
    return this.#opened.onChange;
  }
  /** Whether its ctime, as long as it stays, proves that its bytes do. */
  get trust(): TimestampTrust {
    return this.#opened.trust;
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
    const look = await lookAt(this.#file, this.#opened.place).catch((error: unknown) => {
      throw this.readFailed(error);
    });
    this.requireUnchanged(look);
    return look.fingerprint;
  }

  /**
   * As `assertUnchanged`, up to a moment ago, and but for its path: another file there does not touch the bytes that
   * the descriptor shows.
   */
  async assertUntouched(): Promise<void> {
    if (performance.now() - this.#seenUnchangedAt < FRESH_LOOK_MS) return;
    const present = await this.#call((handle) => handle.stat({ bigint: true }));
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
    if (changed.length > 0) {
      const onlyGrew = versionDifferences(fingerprint, present, 'prefix').length === 0;
      const advice = onlyGrew ? growthAdvice(fingerprint, present) : '';
      throw this.#changed(`its ${changed.join(' and ')} changed`, advice);
    }
    this.#seenUnchangedAt = performance.now();
    if (onChange === 'prefix' || there === null) return;
    if (there.inode !== present.inode || there.device !== present.device) {
      throw this.#changed('another file has taken its place');
    }
  }

  /**
   * That the file ends where its size says, or has grown since with `prefix`.
   *
   * @throws BackhaulError `file_changed`; `not_a_file` if it holds more than its size says, as a kernel's pseudo files do.
   */
  async assertEnds(): Promise<void> {
    const { path, onChange, sizeBytes } = this.#opened;
    const bytesRead = await this.#read(Buffer.alloc(1), sizeBytes);
    if (bytesRead === 0) return;
    const present = await this.#file.call((handle) => handle.stat({ bigint: true }));
    const { size } = present;
    if (size <= BigInt(sizeBytes)) {
      throw new BackhaulError(
        'not_a_file',
        `${JSON.stringify(path)} holds more than the ${size} bytes that its file system gives as its size, as pseudo files do; copy it to a regular file and ask for that.`,
      );
    }
    if (onChange !== 'prefix') {
      throw this.#changed('it became longer', growthAdvice(this.#opened.fingerprint, fingerprintOf(present)));
    }
  }

  /** For who comes to the file's end too soon. */
  endedEarly(): BackhaulError {
    return this.#changed('it ends before the size that it had');
  }

  /** @param error What the operating system said. */
  readFailed(error: unknown): BackhaulError {
    return fileError(error, this.#opened.path, this.#opened.platform);
  }

  /** For who finds other bytes than those announced. */
  contentChanged(): BackhaulError {
    return this.#changed('its content changed');
  }

  /** For who has read it so often to tell whether it changed, and found it touched again each time. */
  keptMoving(readings: number): BackhaulError {
    const name = JSON.stringify(this.#opened.path);
    return new BackhaulError(
      'file_changed',
      `${name} was read ${readings} more times to see whether its content had changed, and its ctime moved each time: something keeps writing to it or changing its mode, links or times. Stop that while it is pulled, pull a copy or snapshot of it, or use --on-change prefix if it is only appended to.`,
    );
  }

  /**
   * The same file under a descriptor of its own; to be closed before this one.
   *
   * @param options.direct Past this system's page cache (`O_DIRECT`), where that is possible.
   * @throws BackhaulError
   */
  async openAgain({ direct }: { readonly direct: boolean }): Promise<OpenedFile> {
    const { path, realPath, platform } = this.#opened;
    let file: GatedFile | null = null;
    try {
      file = await this.#file.again((handle) => platform.openAgain(handle, realPath, { direct }));
      const [here, there] = await Promise.all(
        [this.#file, file].map((one) => one.call((handle) => handle.stat({ bigint: true }))),
      );
      if (here?.dev !== there?.dev || here?.ino !== there?.ino) {
        throw this.#changed('another file has taken its place');
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

  /** @see GatedFile.hangs */
  hangs(done: Promise<unknown>): void {
    this.#file.hangs(done);
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

  #changed(how: string, advice = ''): BackhaulError {
    return new BackhaulError(
      'file_changed',
      `${JSON.stringify(this.#opened.path)} changed while it was being read: ${how}.${advice}`,
    );
  }
}
