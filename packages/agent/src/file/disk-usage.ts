import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { BackhaulError, type DiskUsage, MAX_FRAME_BYTES } from '@backhaul/protocol';
import {
  type Directory,
  type NamedEntry,
  openCheckedDirectory,
  openDirectory,
  readEntries,
  timestampOf,
} from './directory.ts';
import { fileError } from './file-error.ts';
import type { OpenDeps } from './open-file.ts';

/** Number of directories read at the same time. */
const DIRECTORIES_AT_ONCE = 4;
/**
 * Number of entries that one call of the gate looks up, one after another. A call for each would be several times slower;
 * if one of them hangs, those after it count as unreadable, too.
 */
const ENTRIES_PER_CALL = 64;
/** Bounds of the memory: about 10 MB each for short names. */
const MAX_WAITING_DIRECTORIES = 100_000;
const MAX_HARD_LINKS = 100_000;
/** Size of the frame without `largest`. */
const FRAME_OVERHEAD_BYTES = 32 * 1024;
/** `st_blocks` counts units of this size on all systems of Node.js, whatever the block size of the file system is. */
const STAT_BLOCK_BYTES = 512n;

interface DiskUsageOptions {
  /** Number of files in `largest`. */
  readonly largest: number;
  readonly signal: AbortSignal;
  /** Receives the current totals often: after every few entries, and after each directory. */
  readonly onProgress?: (progress: DiskUsage) => void;
  readonly maxHardLinks?: number;
  readonly maxWaitingDirectories?: number;
}

/** Subdirectories that were found in one directory and not yet visited. */
interface Waiting {
  readonly path: string;
  readonly realPath: string;
  readonly names: string[];
}

/**
 * Adds up the regular files below an allowed directory. Symbolic links are not followed, and other file systems that are
 * mounted below it are not entered: one of them may hang or be the network's. A file with several hard links counts once.
 *
 * What cannot be read is counted in `unreadable` and skipped. Files may change during the walk, so the totals are those
 * of no particular moment.
 *
 * @throws BackhaulError like `listDirectory`; the signal's reason.
 */
export async function diskUsage(
  requested: string,
  deps: OpenDeps,
  options: DiskUsageOptions,
): Promise<DiskUsage> {
  const walk = new Walk(requested, deps, options);
  try {
    return fitFrame(await walk.run());
  } catch (error) {
    options.signal.throwIfAborted();
    throw fileError(error, requested, deps.platform);
  }
}

class Walk {
  readonly #deps: OpenDeps & { readonly signal: AbortSignal };
  readonly #options: DiskUsageOptions;
  readonly #usage: DiskUsage;
  /** Last in, first out, so that the number of waiting directories grows with the depth of the tree, not with its width. */
  readonly #waiting: Waiting[] = [];
  #waitingNames = 0;
  readonly #hardLinks = new Set<string>();
  #device: bigint | null = null;

  constructor(requested: string, deps: OpenDeps, options: DiskUsageOptions) {
    this.#deps = { ...deps, signal: options.signal };
    this.#options = options;
    this.#usage = {
      path: requested,
      bytes: 0,
      allocated_bytes: 0,
      files: 0,
      directories: 0,
      others: 0,
      unreadable: 0,
      other_file_systems: 0,
      repeated_links: 0,
      largest: [],
    };
  }

  async run(): Promise<DiskUsage> {
    const { path } = this.#usage;
    await this.#visit(await openDirectory(path, this.#deps), path);
    const running = new Set<Promise<void>>();
    try {
      while (this.#waiting.length > 0 || running.size > 0) {
        while (running.size < DIRECTORIES_AT_ONCE) {
          const next = this.#nextWaiting();
          if (next === null) break;
          const visit = this.#enter(next).finally(() => running.delete(visit));
          running.add(visit);
        }
        await Promise.race(running);
      }
    } finally {
      await Promise.allSettled(running);
    }
    return this.#usage;
  }

  #nextWaiting(): { path: string; realPath: string } | null {
    const group = this.#waiting.at(-1);
    const name = group?.names.pop();
    if (group === undefined || name === undefined) return null;
    if (group.names.length === 0) this.#waiting.pop();
    this.#waitingNames -= 1;
    const { path: paths } = this.#deps.platform;
    return { path: paths.join(group.path, name), realPath: paths.join(group.realPath, name) };
  }

  async #enter({ path, realPath }: { path: string; realPath: string }): Promise<void> {
    try {
      await this.#visit(await openCheckedDirectory(realPath, path, this.#deps), path, realPath);
    } catch {
      this.#deps.signal.throwIfAborted();
      // Deleted or replaced by a link meanwhile, no permission, a call that hangs: the rest of the tree still counts.
      this.#usage.unreadable += 1;
    }
  }

  /** @param expected Real path of the directory, unless somebody moves directories or links during the walk. */
  async #visit(directory: Directory, path: string, expected = directory.realPath): Promise<void> {
    const { file, realPath } = directory;
    try {
      const { dev } = await file.call((handle) => handle.stat({ bigint: true }));
      this.#device ??= dev;
      if (realPath !== expected || dev !== this.#device) throw new BackhaulError('file_changed');
      const found: Waiting = { path, realPath, names: [] };
      for await (const entries of readEntries(directory, this.#deps)) {
        const groups = Array.from({ length: Math.ceil(entries.length / ENTRIES_PER_CALL) }, (_, index) =>
          entries.slice(index * ENTRIES_PER_CALL, (index + 1) * ENTRIES_PER_CALL),
        );
        await Promise.all(groups.map((group) => this.#addGroup(directory, group, found)));
      }
      // Also for an empty directory.
      this.#options.onProgress?.(this.#usage);
    } finally {
      await file.close();
    }
  }

  async #addGroup(
    { file, openPath }: Directory,
    group: readonly NamedEntry[],
    found: Waiting,
  ): Promise<void> {
    const { platform, signal } = this.#deps;
    const lookUp = async () => {
      const all: (BigIntStats | null)[] = [];
      for (const { name } of group) {
        signal.throwIfAborted();
        all.push(await lstat(platform.path.join(openPath, name), { bigint: true }).catch(() => null));
      }
      return all;
    };
    const stats = await file.call(lookUp).catch(() => []);
    signal.throwIfAborted();
    for (const [index, { name }] of group.entries()) this.#add(stats[index] ?? null, name, found);
    this.#options.onProgress?.(this.#usage);
  }

  /** @param stats Null if the entry cannot be read or is gone. */
  #add(stats: BigIntStats | null, name: string, found: Waiting): void {
    const usage = this.#usage;
    if (stats === null) usage.unreadable += 1;
    else if (stats.isDirectory()) this.#addDirectory(stats, name, found);
    else if (stats.isFile()) this.#addFile(stats, name, found);
    else usage.others += 1;
  }

  #addDirectory({ dev }: BigIntStats, name: string, found: Waiting): void {
    const { maxWaitingDirectories = MAX_WAITING_DIRECTORIES } = this.#options;
    this.#usage.directories += 1;
    if (dev !== this.#device) {
      this.#usage.other_file_systems += 1;
      return;
    }
    if (this.#waitingNames >= maxWaitingDirectories) {
      this.#usage.unreadable += 1;
      return;
    }
    if (found.names.length === 0) this.#waiting.push(found);
    found.names.push(name);
    this.#waitingNames += 1;
  }

  #addFile(stats: BigIntStats, name: string, { path }: Waiting): void {
    const usage = this.#usage;
    if (stats.nlink > 1n && this.#isKnownLink(stats)) {
      usage.repeated_links += 1;
      return;
    }
    usage.files += 1;
    usage.bytes = safeSum(usage.bytes, stats.size);
    usage.allocated_bytes = safeSum(usage.allocated_bytes, stats.blocks * STAT_BLOCK_BYTES);
    const size = safeSum(0, stats.size);
    const { largest } = usage;
    const isFull = largest.length >= this.#options.largest;
    if (isFull && size <= (largest.at(-1)?.size ?? 0)) return;
    if (isFull) largest.pop();
    const filePath = this.#deps.platform.path.join(path, name).slice(0, 4096);
    const at = largest.findLastIndex((other) => other.size >= size) + 1;
    largest.splice(at, 0, { path: filePath, size, modified_at: timestampOf(Number(stats.mtimeMs)) });
  }

  /** Whether another name of this file was counted. Beyond the bound of the memory files may count several times. */
  #isKnownLink({ dev, ino }: BigIntStats): boolean {
    const { maxHardLinks = MAX_HARD_LINKS } = this.#options;
    const key = `${dev}:${ino}`;
    if (this.#hardLinks.has(key)) return true;
    if (this.#hardLinks.size < maxHardLinks) this.#hardLinks.add(key);
    return false;
  }
}

/** Sparse files can have any size; JSON numbers are exact up to 2^53. */
function safeSum(sum: number, bytes: bigint): number {
  return Math.min(Number.MAX_SAFE_INTEGER, sum + Number(bytes));
}

/** Drops the smallest files if the paths are too long for one frame. */
function fitFrame(usage: DiskUsage): DiskUsage {
  let bytes = FRAME_OVERHEAD_BYTES;
  const end = usage.largest.findIndex((file) => {
    bytes += Buffer.byteLength(JSON.stringify(file)) + 1;
    return bytes > MAX_FRAME_BYTES;
  });
  return end < 0 ? usage : { ...usage, largest: usage.largest.slice(0, end) };
}
