import type { Dir, Dirent } from 'node:fs';
import { lstat, open, opendir, readdir } from 'node:fs/promises';
import { BackhaulError, type DirectoryListing, MAX_FRAME_BYTES } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';
import { fileError } from './file-error.ts';
import type { FileGate } from './file-gate.ts';
import { GatedFile } from './gated-file.ts';
import { NoAnswer } from './no-answer.ts';
import type { OpenTools } from './open-file.ts';

const MAX_ENTRIES = 5000;
/** What the frame needs besides its entries: the path, at most 4,096 characters, and the fields around it. */
const FRAME_OVERHEAD_BYTES = 32 * 1024;

/** Names that are read at a time. */
const BATCH = 256;
/** Entries that are looked at together. */
const AT_ONCE = 16;
/** Entries whose file systems hang, such as dead mounts, hold up the whole listing by so much, then all are listed by name. */
const MAX_SILENT_MS = 3000;

type Entry = DirectoryListing['entries'][number];

/** Which entries: by the beginning of their names, after the last one of a page, and at most so many. */
interface ListingRange {
  readonly prefix?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}

/**
 * The entries of an allowed directory, sorted by name, links not followed. A directory too long for one frame is
 * cut and says so.
 *
 * @throws BackhaulError as `openFile`, and `not_a_directory`
 */
export async function listDirectory(
  asked: string,
  { allowList, platform, gate }: OpenTools,
  { signal, ...range }: ListingRange & { readonly signal: AbortSignal },
): Promise<DirectoryListing> {
  let file: GatedFile | null = null;
  try {
    const { realPath: admitted } = await allowList.admit(asked);
    const found = await gate.run(admitted, () => lstat(admitted), { signal });
    if (found.isSymbolicLink()) {
      throw new BackhaulError(
        'path_not_allowed',
        `${JSON.stringify(asked)} is a symbolic link, which the agent does not follow.`,
      );
    }
    if (!found.isDirectory()) throw new BackhaulError('not_a_directory');
    const opening = () => open(admitted, platform.directoryFlags);
    file = await GatedFile.open(admitted, opening, { gate, signal });
    const realPath = await allowList.confirm(file, { opened: admitted, asked });
    const opened = await file.call((handle) => platform.directoryPath(handle, realPath));
    const { names, truncated } = await firstNames(file, opened, { platform, ...range });
    const describe = describer({ gate, platform, place: realPath, opened, signal });
    const entries: Entry[] = [];
    let bytes = FRAME_OVERHEAD_BYTES;
    for (let at = 0; at < names.length; at += AT_ONCE) {
      signal.throwIfAborted();
      for (const described of await Promise.all(names.slice(at, at + AT_ONCE).map(describe))) {
        bytes += Buffer.byteLength(JSON.stringify(described)) + 1;
        if (bytes > MAX_FRAME_BYTES) return { path: asked, entries, truncated: true, ...nextPage(entries) };
        entries.push(described);
      }
    }
    return { path: asked, entries, truncated, ...(truncated ? nextPage(entries) : {}) };
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, asked, platform);
  } finally {
    await file?.close();
  }
}

function nextPage(entries: readonly Entry[]): { next_cursor?: string } {
  const last = entries.at(-1);
  return last === undefined ? {} : { next_cursor: last.name };
}

type NamedEntry = Pick<Entry, 'name' | 'type'>;

/**
 * Keeps the first names by order, in bounded memory, however many there are. Of FUSE and network mounts all names are
 * read at once, because for each entry whose type the file system does not tell, `Dir.read` calls `lstatSync`, which
 * would stop this whole process if that entry hangs.
 */
async function firstNames(
  file: GatedFile,
  path: string,
  { platform, prefix = '', cursor = '', limit = MAX_ENTRIES }: ListingRange & { readonly platform: Platform },
): Promise<{ names: NamedEntry[]; truncated: boolean }> {
  const most = Math.min(limit, MAX_ENTRIES);
  const isWanted = ({ name }: NamedEntry) => name.startsWith(prefix) && name > cursor;
  let names: NamedEntry[] = [];
  let truncated = false;
  const cut = () => {
    names.sort((a, b) => (a.name < b.name ? -1 : 1));
    truncated ||= names.length > most;
    names = names.slice(0, most);
  };
  if ((await file.call((handle) => platform.fileSystemOf(handle))) === 'shared') {
    const all = await file.call(() => readdir(path));
    names = all.map((name): NamedEntry => ({ name, type: 'other' })).filter(isWanted);
    cut();
    return { names, truncated };
  }
  const close = (directory: Dir) => void directory.close().catch(() => {});
  const directory = await file.call(() => opendir(path, { bufferSize: BATCH }), { late: close });
  try {
    for (let more = true; more;) {
      // Not to be called again after an error that may pass: names that were read before it are lost.
      const batch = await file.call(() => nextNames(directory).catch((error: unknown) => ({ error })));
      if ('error' in batch) throw batch.error;
      names.push(...batch.filter(isWanted));
      more = batch.length === BATCH;
      if (names.length >= 2 * MAX_ENTRIES) cut();
    }
  } finally {
    // It may wait for a read that hangs.
    close(directory);
  }
  cut();
  return { names, truncated };
}

async function nextNames(directory: Dir): Promise<NamedEntry[]> {
  const names: NamedEntry[] = [];
  for (let entry = await directory.read(); entry !== null; entry = await directory.read()) {
    names.push({ name: entry.name, type: typeOf(entry) });
    if (names.length === BATCH) break;
  }
  return names;
}

interface DescribeTools {
  readonly gate: FileGate;
  readonly platform: Platform;
  /** The directory's real path. */
  readonly place: string;
  /** A path by which it is read. */
  readonly opened: string;
  readonly signal: AbortSignal;
}

function describer({
  gate,
  platform,
  place,
  opened,
  signal,
}: DescribeTools): (entry: NamedEntry) => Promise<Entry> {
  const join = (directory: string, name: string) => platform.path.join(directory, name);
  let silentMs = 0;
  return async (entry) => {
    const name = entry.name.slice(0, 4096);
    const since = performance.now();
    try {
      const options = { signal, timeoutMs: MAX_SILENT_MS - silentMs };
      const stats = await gate.run(join(place, entry.name), () => lstat(join(opened, entry.name)), options);
      const type = typeOf(stats);
      // One odd file must not make the whole listing one that its reader refuses.
      const size = type === 'file' && Number.isSafeInteger(stats.size) ? stats.size : null;
      return { name, type, size, modified_at: timestamp(stats.mtimeMs) };
    } catch (error) {
      if (error instanceof NoAnswer)
        silentMs = Math.min(MAX_SILENT_MS - 1, silentMs + performance.now() - since);
      // Silent, deleted since, or a name that is not UTF-8: it is there, but nothing more can be said.
      return { name, type: entry.type, size: null, modified_at: null };
    }
  };
}

function typeOf(entry: Pick<Dirent, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): Entry['type'] {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symlink' : 'other';
}

function timestamp(mtimeMs: number): string | null {
  const year = new Date(mtimeMs).getUTCFullYear();
  return year >= 1 && year <= 9999 ? new Date(mtimeMs).toISOString() : null;
}
