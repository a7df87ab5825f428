import type { Dirent } from 'node:fs';
import { type FileHandle, lstat, open, opendir } from 'node:fs/promises';
import { BackhaulError, type DirectoryListing, MAX_FRAME_BYTES } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';
import { fileError } from './file-error.ts';
import type { OpenTools } from './open-file.ts';

const MAX_ENTRIES = 5000;
/** What the frame needs besides its entries: the path, at most 4,096 characters, and the fields around it. */
const FRAME_OVERHEAD_BYTES = 32 * 1024;

type Entry = DirectoryListing['entries'][number];

/**
 * The entries of an allowed directory, sorted by name, links not followed. A directory too long for one frame is
 * cut and says so.
 *
 * @throws BackhaulError as `openFile`, and `not_a_directory`
 */
export async function listDirectory(
  asked: string,
  { allowList, platform }: OpenTools,
  { signal }: { signal: AbortSignal },
): Promise<DirectoryListing> {
  const path = await allowList.admit(asked);
  let handle: FileHandle | null = null;
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) {
      throw new BackhaulError(
        'path_not_allowed',
        `${JSON.stringify(asked)} is a symbolic link, which the agent does not follow.`,
      );
    }
    if (!found.isDirectory()) throw new BackhaulError('not_a_directory');
    handle = await open(path, platform.directoryFlags);
    const realPath = await platform.whereIs(handle, path);
    await allowList.confirm(realPath, asked);
    const opened = platform.directoryPath(handle, realPath);
    const { names, truncated } = await firstNames(opened, signal);
    const entries: Entry[] = [];
    let bytes = FRAME_OVERHEAD_BYTES;
    for (const entry of names) {
      signal.throwIfAborted();
      const described = await describe(entry, opened, platform);
      bytes += Buffer.byteLength(JSON.stringify(described)) + 1;
      if (bytes > MAX_FRAME_BYTES) return { path: asked, entries, truncated: true };
      entries.push(described);
    }
    return { path: asked, entries, truncated };
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, asked, platform);
  } finally {
    await handle?.close();
  }
}

/** Keeps the first names by order in bounded memory, however many there are. */
async function firstNames(
  path: string,
  signal: AbortSignal,
): Promise<{ names: Dirent[]; truncated: boolean }> {
  let names: Dirent[] = [];
  let truncated = false;
  const cut = () => {
    names.sort((a, b) => (a.name < b.name ? -1 : 1));
    truncated ||= names.length > MAX_ENTRIES;
    names = names.slice(0, MAX_ENTRIES);
  };
  for await (const entry of await opendir(path, { bufferSize: 256 })) {
    signal.throwIfAborted();
    names.push(entry);
    if (names.length >= 2 * MAX_ENTRIES) cut();
  }
  cut();
  return { names, truncated };
}

async function describe(entry: Dirent, directory: string, platform: Platform): Promise<Entry> {
  const name = entry.name.slice(0, 4096);
  try {
    const stats = await lstat(platform.path.join(directory, entry.name));
    const type = typeOf(stats);
    return { name, type, size: type === 'file' ? stats.size : null, modified_at: timestamp(stats.mtimeMs) };
  } catch {
    // Deleted since, or a name that is not UTF-8: it is there, but nothing more can be said.
    return { name, type: typeOf(entry), size: null, modified_at: null };
  }
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
