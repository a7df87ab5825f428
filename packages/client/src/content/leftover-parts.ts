import { createHash, randomBytes } from 'node:crypto';
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, lstat, open, opendir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import type { UploadRecord } from '@backhaul/protocol';

const HOUR_MS = 3_600_000;

/** A fetch gives up after minutes without a byte: one that wrote nothing for so long has most likely ended. */
const ABANDONED_AFTER_MS = HOUR_MS;

/** Part files that no fetch took up again for so long are removed. */
const REMOVED_AFTER_MS = 7 * 24 * HOUR_MS;

/** Those of release 0.1.0 name no upload, so none can be taken up again. */
const UNNAMED_REMOVED_AFTER_MS = 24 * HOUR_MS;

const partName =
  /^\.backhaul-(?:(?<upload>[0-9a-f-]{36})-(?<tag>[0-9a-f]{12})-(?<host>[0-9a-f]{8})-(?<pid>\d+)-[0-9a-f]{6}|[0-9a-f]{12})\.part$/;

/** In the place of a process: the one that wrote the part has closed it. */
const CLOSED = 0;

const numberSpace = readNumberSpace();
const thisHost = digest(JSON.stringify([hostname(), numberSpace]), 8);

/** Part files that this process writes now. */
const held = new Set<string>();

/** What a fetch of the same has left, open. */
export interface Leftover {
  readonly path: string;
  readonly handle: FileHandle;
  /** Whether it is the caller's own now. If not, its writer may live on: what it has may be copied, no more. */
  readonly isOwn: boolean;
}

/**
 * A path for a new part file beside the target. Its name says what it is a part of (upload, version of the object,
 * target) and which process writes it, so that a later fetch of the same finds it.
 */
export function newPartPath(target: string, record: UploadRecord): string {
  const file = partPath(path.dirname(target), prefixOf(target, record), process.pid);
  held.add(file);
  return file;
}

/** Of a part that stays for the next fetch, once it is closed: nobody has to guess whether it is written yet. */
export async function leavePart(file: string, target: string, record: UploadRecord): Promise<void> {
  const closed = partPath(path.dirname(target), prefixOf(target, record), CLOSED);
  // Taken by another fetch meanwhile, or it stays under the name that it has.
  await rename(file, closed).catch(() => undefined);
}

export function releasePart(file: string): void {
  held.delete(file);
}

/** Names of the part files beside the target; undefined where the directory may be written, and not be listed. */
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
 * Takes a part that a fetch of the same left behind when it was killed or cut off, and removes unused parts
 * again for long. One whose writer has surely ended becomes `file`; of several processes that look at the same time one
 * gets it. Any other has to be copied: its writer may go on in another container or on another machine.
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
    // Another process was faster.
    return undefined;
  }
  const opened = await openSingle(file, constants.O_RDWR);
  return opened === undefined ? undefined : { ...opened, isOwn: true };
}

/**
 * A part with two names is a finished file besides: whoever made it was killed between giving it its name and removing
 * the old one. It is not written to; the old name goes.
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

/** Tidying up: a directory that does not let go of a file takes new ones all the same. */
async function remove(file: string): Promise<void> {
  await rm(file, { force: true }).catch(() => undefined);
}

/**
 * Where process ids are unique: this boot and this PID namespace. Two containers may share a host name and a directory,
 * and a process of one is not seen in the other. Only Linux tells.
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
