import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { FileSystem, Platform } from '../platform/platform.ts';
import type { GatedFile } from './gated-file.ts';

/**
 * A file whose ctime is younger than this when it is opened may change without another ctime: timestamps are whole
 * seconds on ext4 with 128-byte inodes, and they move with the kernel's tick elsewhere. Git calls such an entry "racily
 * clean".
 */
export const QUIET_MS = 10_000;
/** A flush may take minutes on a disk that is written to, a write() as long as its source. Reading again is cheaper. */
const SETTLE_TIMEOUT_MS = 2000;

/** The two clocks of this machine at one moment, in ms. */
export interface ClockReading {
  /** Since 1970; the clock that the kernel takes a local file's timestamps from. It may be set. */
  readonly wallMs: number;
  /** It is never set. */
  readonly steadyMs: number;
}

export function readClock(): ClockReading {
  return { wallMs: Date.now(), steadyMs: performance.now() };
}

interface Opened {
  readonly fileSystem: FileSystem;
  /** Whether no write that began before could go on without another ctime: see `statOpened`. */
  readonly isSettled: boolean;
  readonly ctimeMs: number;
  /** When the file was looked at. */
  readonly clock: ClockReading;
}

/** Whether a file's ctime, if it stays the same, proves that its content stays the same. */
export class TimestampTrust {
  /** Where the file lies. */
  readonly fileSystem: FileSystem;
  readonly #wasQuiet: boolean;
  readonly #clock: ClockReading;

  constructor({ fileSystem, isSettled, ctimeMs, clock }: Opened) {
    this.fileSystem = fileSystem;
    // A ctime in the future may come again, too.
    this.#wasQuiet = isSettled && mayBeTrusted({ fileSystem, ctimeMs, clock });
    this.#clock = clock;
  }

  /** @param now A clock that was set back since the file was opened may give the same ctime again. */
  holds(now: ClockReading = readClock()): boolean {
    const setBackMs = now.steadyMs - this.#clock.steadyMs - (now.wallMs - this.#clock.wallMs);
    return this.#wasQuiet && setBackMs < QUIET_MS / 2;
  }
}

function mayBeTrusted({ fileSystem, ctimeMs, clock }: Omit<Opened, 'isSettled'>): boolean {
  return fileSystem === 'exact_times' && ctimeMs + QUIET_MS <= clock.wallMs;
}

/**
 * The stats of a file that has just been opened, and how far its timestamps can be trusted from now on.
 *
 * @param realPath As it was opened.
 */
export async function statOpened(
  file: GatedFile,
  { platform, realPath }: { readonly platform: Platform; readonly realPath: string },
): Promise<{ readonly stats: BigIntStats; readonly trust: TimestampTrust }> {
  const clock = readClock();
  const stat = () => file.call((handle) => handle.stat({ bigint: true }));
  const stats = await stat();
  const fileSystem = await file.call((handle) => platform.fileSystemOf(handle));
  const ctimeMs = Number(stats.ctimeNs / 1_000_000n);
  const opened = { fileSystem, ctimeMs, clock };
  // Where nothing could be proved by it, the disk is spared the flush.
  if (!mayBeTrusted(opened)) return { stats, trust: new TimestampTrust({ ...opened, isSettled: false }) };
  const openDirect = (handle: FileHandle) => platform.openAgain(handle, realPath, { direct: true });
  const hasEnded = await writesHaveEnded(file, openDirect);
  const now = await stat();
  const isSettled = hasEnded && now.ctimeNs === stats.ctimeNs;
  return { stats: now, trust: new TimestampTrust({ ...opened, isSettled }) };
}

/**
 * Whether all that was being written to the file has ended, or will move the ctime once more.
 *
 * A page of a mapped file moves the file's times at the first write only, until it has been written back; so pages are
 * written back first, which not every system lets a reader do. One write() moves the times when it starts, and may take
 * long, if its source does; but it holds the inode's lock all the time. On ext4 and XFS a read past the page cache takes
 * that lock, shared, before it looks at what is to be read, so it comes back only when the write() has ended.
 */
async function writesHaveEnded(
  file: GatedFile,
  openDirect: (handle: FileHandle) => Promise<FileHandle>,
): Promise<boolean> {
  const wait = { timeoutMs: SETTLE_TIMEOUT_MS, isOptional: true };
  let direct: GatedFile | null = null;
  try {
    await file.call((handle) => handle.datasync(), wait);
    direct = await file.again(openDirect, wait);
    await direct.call((handle) => handle.read(Buffer.alloc(1), 0, 1, 0), wait);
    return true;
  } catch (error) {
    // One byte is less than this file system reads so; it refuses that with the lock held.
    return direct !== null && error instanceof Error && 'code' in error && error.code === 'EINVAL';
  } finally {
    await direct?.close();
  }
}
