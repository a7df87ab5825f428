import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { codeOf } from '../errno.ts';
import type { FileSystem, Platform } from '../platform/platform.ts';
import type { GatedFile } from './gated-file.ts';

/**
 * A file whose ctime is more recent than this at the open may change without a new ctime: timestamps have a resolution of
 * one second on ext4 with 128-byte inodes, and of the kernel's tick elsewhere. Git calls such an entry "racily clean".
 */
export const QUIET_MS = 10_000;
/** A flush may take minutes on a busy disk, and a write() as long as its source. A second reading is cheaper. */
const SETTLE_TIMEOUT_MS = 2000;

/** The two clocks of this machine at one moment, in milliseconds. */
export interface ClockReading {
  /** Unix time; the kernel uses this clock for the timestamps of local files. It may be set. */
  readonly wallMs: number;
  /** Monotonic. */
  readonly steadyMs: number;
}

export function readClock(): ClockReading {
  return { wallMs: Date.now(), steadyMs: performance.now() };
}

interface Opened {
  readonly fileSystem: FileSystem;
  /** Whether any earlier write has ended or will change the ctime again: see `writesHaveEnded`. */
  readonly isSettled: boolean;
  readonly ctimeMs: number;
  /** Time of the stat. */
  readonly clock: ClockReading;
}

/** Whether an unchanged ctime proves that a file's content is unchanged. */
export class TimestampTrust {
  /** Kind of file system of the file. */
  readonly fileSystem: FileSystem;
  readonly #wasQuiet: boolean;
  readonly #clock: ClockReading;

  constructor({ fileSystem, isSettled, ctimeMs, clock }: Opened) {
    this.fileSystem = fileSystem;
    // A ctime in the future may also occur again.
    this.#wasQuiet = isSettled && mayBeTrusted({ fileSystem, ctimeMs, clock });
    this.#clock = clock;
  }

  /** @param now If the clock was set back since the open, the same ctime may occur again. */
  holds(now: ClockReading = readClock()): boolean {
    const setBackMs = now.steadyMs - this.#clock.steadyMs - (now.wallMs - this.#clock.wallMs);
    return this.#wasQuiet && setBackMs < QUIET_MS / 2;
  }
}

function mayBeTrusted({ fileSystem, ctimeMs, clock }: Omit<Opened, 'isSettled'>): boolean {
  return fileSystem === 'exact_times' && ctimeMs + QUIET_MS <= clock.wallMs;
}

/**
 * Returns the stats of a newly opened file, and whether its timestamps can be trusted from now on.
 *
 * @param realPath The path that was opened.
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
  // Without exact timestamps the flush would prove nothing.
  if (!mayBeTrusted(opened)) return { stats, trust: new TimestampTrust({ ...opened, isSettled: false }) };
  const openDirect = (handle: FileHandle) => platform.reopen(handle, realPath, { direct: true });
  const hasEnded = await writesHaveEnded(file, openDirect);
  const now = await stat();
  const isSettled = hasEnded && now.ctimeNs === stats.ctimeNs;
  return { stats: now, trust: new TimestampTrust({ ...opened, isSettled }) };
}

/**
 * Whether all earlier writes to the file have ended, or will change the ctime again.
 *
 * Writes to a page of a mapped file change the file's times only at the first write after the page was written back. So
 * pages are written back first, which not every system allows a reader to do. A write() changes the times when it starts
 * and may take long if its source is slow, but it holds the inode lock until it ends. On ext4 and XFS a direct read takes
 * that lock (shared) before it reads, so it returns only after the write() has ended.
 */
async function writesHaveEnded(
  file: GatedFile,
  openDirect: (handle: FileHandle) => Promise<FileHandle>,
): Promise<boolean> {
  const wait = { timeoutMs: SETTLE_TIMEOUT_MS, isOptional: true };
  let direct: GatedFile | null = null;
  try {
    await file.call((handle) => handle.datasync(), wait);
    direct = await file.reopen(openDirect, wait);
    await direct.call((handle) => handle.read(Buffer.alloc(1), 0, 1, 0), wait);
    return true;
  } catch (error) {
    // This file system refuses direct reads of one byte, but only after it has acquired the lock.
    return direct !== null && codeOf(error) === 'EINVAL';
  } finally {
    await direct?.close();
  }
}
