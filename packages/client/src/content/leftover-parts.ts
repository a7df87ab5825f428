import { createHash, randomBytes } from 'node:crypto';
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, lstat, open, opendir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import type { UploadRecord } from '@backhaul/protocol';

const HOUR_MS = 3_600_000;

/** A download gives up after minutes without a byte: one that wrote nothing for this long has most likely ended. */
const ABANDONED_AFTER_MS = HOUR_MS;

/** Part files that were not resumed for this long are removed. */
const REMOVED_AFTER_MS = 7 * 24 * HOUR_MS;

/** Part files of release 0.1.0 name no upload, so they cannot be resumed. */
const UNNAMED_REMOVED_AFTER_MS = 24 * HOUR_MS;

const partName =
  /^\.backhaul-(?:(?<upload>[0-9a-f-]{36})-(?<tag>[0-9a-f]{12})-(?<host>[0-9a-f]{8})-(?<pid>\d+)-[0-9a-f]{6}|[0-9a-f]{12})\.part$/;

/** Used instead of a process id once the writer has closed the part file. */
const CLOSED = 0;

const numberSpace = readNumberSpace();
const thisHost = digest(JSON.stringify([hostname(), numberSpace]), 8);

/** Part files that this process is writing. */
const held = new Set<string>();

/** An open part file of an earlier download of the same object to the same path. */
export interface Leftover {
  readonly path: string;
  readonly handle: FileHandle;
  /** Whether the caller now owns the file. If not, its writer may still be running: the content may only be copied. */
  readonly isOwn: boolean;
}

/**
 * Returns a path for a new part file in the directory of the target. Its name contains upload, object version, target
 * and writing process, so that a later download of the same object finds it.
 */
export function newPartPath(target: string, record: UploadRecord): string {
  const file = partPath(path.dirname(target), prefixOf(target, record), process.pid);
  held.add(file);
  return file;
}

/** Renames a closed part file that is left for the next download: its name then says that no process writes it. */
export async function leavePart(file: string, target: string, record: UploadRecord): Promise<void> {
  const closed = partPath(path.dirname(target), prefixOf(target, record), CLOSED);
  // If this fails, another download has taken the file, or it keeps its current name.
  await rename(file, closed).catch(() => undefined);
}

export function releasePart(file: string): void {
  held.delete(file);
}

/** Returns the names of part files in the directory of the target; undefined if the directory cannot be listed. */
export async function listParts(target: string): Promise<readonly string[] | undefined> {
  const names: string[] = [];
  try {
    for await (const { name } of await opendir(path.dirname(target)))
      if (partName.test(name)) names.push(name);
  } catch (error) {
    if (errnoOf(error) === 'EACCES' || errnoOf(error) === 'EPERM') return undefined;
    throw error;
  }
  return names;
}

/**
 * Takes over the part file of an interrupted download of the same object, and removes part files that are unused for too
 * long. If its writer has certainly ended, it is renamed to `file`; only one of several concurrent processes succeeds.
 * Otherwise it must be copied: its writer may still be running in another container or on another machine.
 */
export async function takeLeftover(
  file: string,
  names: readonly string[],
  { target, record }: { readonly target: string; readonly record: UploadRecord },
): Promise<Leftover | undefined> {
  const prefix = prefixOf(target, record);
  let taken: Leftover | undefined;
  for (const name of names) {
    const found = path.join(path.dirname(target), name);
    const parsed = partName.exec(name)?.groups;
    if (parsed === undefined || held.has(found)) continue;
    const stats = await lstat(found).catch(() => undefined);
    if (stats?.isFile() !== true || stats.uid !== (process.getuid?.() ?? stats.uid)) continue;
    const ageMs = Date.now() - stats.mtimeMs;
    if (name.startsWith(prefix)) {
      const pid = Number(parsed['pid']);
      const isEnded = pid === CLOSED || (parsed['host'] === thisHost && !isRunning(pid));
      if (!isEnded && ageMs < ABANDONED_AFTER_MS) continue;
      const isSure = pid === CLOSED || (isEnded && numberSpace !== undefined);
      if (taken === undefined)
        taken = isSure ? await take(found, file) : await openSingle(found, constants.O_RDONLY);
      else await remove(found);
    } else if (ageMs > (parsed['upload'] === undefined ? UNNAMED_REMOVED_AFTER_MS : REMOVED_AFTER_MS)) {
      await remove(found);
    }
  }
  return taken;
}

async function take(found: string, file: string): Promise<Leftover | undefined> {
  try {
    await rename(found, file);
  } catch {
    // Another process took it first.
    return undefined;
  }
  const opened = await openSingle(file, constants.O_RDWR);
  return opened === undefined ? undefined : { ...opened, isOwn: true };
}

/**
 * Opens a part file with only one link. With two links it is also a finished file: its writer was killed after linking
 * the target and before removing the old name. Such a file is not written to, and the old name is removed.
 */
async function openSingle(file: string, flags: number): Promise<Leftover | undefined> {
  // Windows has no O_NOFOLLOW.
  const noFollow = constants.O_NOFOLLOW as number | undefined;
  const handle = await open(file, flags | (noFollow ?? 0)).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ELOOP') return undefined;
    throw error;
  });
  if (handle === undefined) return undefined;
  const stats = await handle.stat();
  if (stats.isFile() && stats.nlink <= 1) return { path: file, handle, isOwn: false };
  await handle.close();
  await remove(file);
  return undefined;
}

/** Cleanup only: failing to remove an old file does not prevent writing a new one. */
async function remove(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => undefined);
}

/**
 * Identifies the scope in which process ids are unique: this boot and this PID namespace. Two containers may share a
 * host name and a directory, and do not see each other's processes. Available only on Linux.
 */
function readNumberSpace(): string | undefined {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

function partPath(directory: string, prefix: string, pid: number): string {
  return path.join(directory, `${prefix}${thisHost}-${pid}-${randomBytes(3).toString('hex')}.part`);
}

function prefixOf(target: string, { upload_id, etag, version_id, size }: UploadRecord): string {
  const tag = digest(JSON.stringify([path.basename(target), etag, version_id, size]), 12);
  return `.backhaul-${upload_id}-${tag}-`;
}

function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

function errnoOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
