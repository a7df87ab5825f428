import type { Dir, Dirent } from 'node:fs';
import { lstat, open, opendir, readdir } from 'node:fs/promises';
import { BackhaulError, type DirectoryListing } from '@backhaul/protocol';
import { GatedFile } from './gated-file.ts';
import type { OpenDeps } from './open-file.ts';

/** Number of names per read. */
const BATCH = 256;

/** An open directory that passed the allow-list. The caller closes `file`. */
export interface Directory {
  readonly file: GatedFile;
  readonly realPath: string;
  /** Path through which its entries are read: that of the open directory itself, also after another took its name. */
  readonly openPath: string;
}

export interface NamedEntry {
  readonly name: string;
  /** `other` if the file system does not report it. */
  readonly type: DirectoryListing['entries'][number]['type'];
}

/**
 * Opens a directory if the owner allows it; a symbolic link is refused.
 *
 * @throws BackhaulError `path_not_allowed`, `invalid_path`, `not_a_directory`; errors of the file gate.
 */
export async function openDirectory(
  requested: string,
  deps: OpenDeps & { readonly signal: AbortSignal },
): Promise<Directory> {
  const { allowList, gate, signal } = deps;
  const { realPath: checkedPath } = await allowList.checkPath(requested);
  const stats = await gate.run(checkedPath, () => lstat(checkedPath), { signal });
  if (stats.isSymbolicLink()) {
    throw new BackhaulError(
      'path_not_allowed',
      `${JSON.stringify(requested)} is a symbolic link, which the agent does not follow.`,
    );
  }
  if (!stats.isDirectory()) throw new BackhaulError('not_a_directory');
  return await openCheckedDirectory(checkedPath, requested, deps);
}

/**
 * Opens a directory and checks where the descriptor is.
 *
 * @param path Path to open, without links.
 * @throws BackhaulError `path_not_allowed`; errors of the file gate.
 */
export async function openCheckedDirectory(
  path: string,
  requested: string,
  { allowList, platform, gate, signal }: OpenDeps & { readonly signal: AbortSignal },
): Promise<Directory> {
  const opening = () => open(path, platform.directoryFlags);
  const file = await GatedFile.open(path, opening, { gate, signal });
  try {
    const realPath = await allowList.checkRealPath(file, { opened: path, requested });
    const openPath = await file.call((handle) => platform.directoryPath(handle, realPath));
    return { file, realPath, openPath };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Yields the names in a directory in batches, unsorted. On FUSE and network mounts they are one batch, because `Dir.read`
 * calls `lstatSync` for each entry whose type the file system does not report, which would block the whole process if
 * that entry hangs.
 */
export async function* readEntries(
  { file, openPath }: Directory,
  { platform }: Pick<OpenDeps, 'platform'>,
): AsyncGenerator<NamedEntry[], void, undefined> {
  if ((await file.call((handle) => platform.fileSystemOf(handle))) === 'shared') {
    const names = await file.call(() => readdir(openPath));
    yield names.map((name) => ({ name, type: 'other' }));
    return;
  }
  const close = (directory: Dir) => void directory.close().catch(() => {});
  const directory = await file.call(() => opendir(openPath, { bufferSize: BATCH }), { onLate: close });
  try {
    for (let more = true; more;) {
      // Must not be retried after a transient error: names that were read before it would be lost.
      const batch = await file.call(() => nextEntries(directory).catch((error: unknown) => ({ error })));
      if ('error' in batch) throw batch.error;
      yield batch;
      more = batch.length === BATCH;
    }
  } finally {
    // Not awaited, because it may wait for a hanging read.
    close(directory);
  }
}

async function nextEntries(directory: Dir): Promise<NamedEntry[]> {
  const entries: NamedEntry[] = [];
  for (let entry = await directory.read(); entry !== null; entry = await directory.read()) {
    entries.push({ name: entry.name, type: typeOf(entry) });
    if (entries.length === BATCH) break;
  }
  return entries;
}

export function typeOf(entry: Pick<Dirent, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): NamedEntry['type'] {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symlink' : 'other';
}

/** Null for a time before the year 1 or after 9999. */
export function timestampOf(mtimeMs: number): string | null {
  const year = new Date(mtimeMs).getUTCFullYear();
  return year >= 1 && year <= 9999 ? new Date(mtimeMs).toISOString() : null;
}
