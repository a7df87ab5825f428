import { lstat } from 'node:fs/promises';
import { type DirectoryListing, MAX_FRAME_BYTES } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';
import {
  type Directory,
  type NamedEntry,
  openDirectory,
  readEntries,
  timestampOf,
  typeOf,
} from './directory.ts';
import { FileCallTimeout, fileError } from './file-error.ts';
import type { FileGate } from './file-gate.ts';
import type { OpenDeps } from './open-file.ts';

const MAX_ENTRIES = 5000;
/** Size of the frame without entries: the path of at most 4,096 characters, and the other fields. */
const FRAME_OVERHEAD_BYTES = 32 * 1024;

/** Number of concurrent stat calls. */
const AT_ONCE = 16;
/** Total time to wait for entries on hanging file systems, such as dead mounts; after that they are listed by name only. */
const MAX_SILENT_MS = 3000;

type Entry = DirectoryListing['entries'][number];

/** Selects entries by name prefix, after the last one of the previous page, up to a limit. */
interface ListingRange {
  readonly prefix?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}

/**
 * Lists the entries of an allowed directory, sorted by name; links are not followed. A listing that does not fit into one
 * frame is marked as truncated.
 *
 * @throws BackhaulError like `openFile`, and `not_a_directory`
 */
export async function listDirectory(
  requested: string,
  deps: OpenDeps,
  { signal, ...range }: ListingRange & { readonly signal: AbortSignal },
): Promise<DirectoryListing> {
  const { platform, gate } = deps;
  let directory: Directory | null = null;
  try {
    directory = await openDirectory(requested, { ...deps, signal });
    const { realPath, openPath: opened } = directory;
    const { names, truncated } = await firstNames(directory, { platform, ...range });
    const describe = describer({ gate, platform, realPath, opened, signal });
    const entries: Entry[] = [];
    let bytes = FRAME_OVERHEAD_BYTES;
    for (let at = 0; at < names.length; at += AT_ONCE) {
      signal.throwIfAborted();
      for (const described of await Promise.all(names.slice(at, at + AT_ONCE).map(describe))) {
        bytes += Buffer.byteLength(JSON.stringify(described)) + 1;
        if (bytes > MAX_FRAME_BYTES)
          return { path: requested, entries, truncated: true, ...nextPage(entries) };
        entries.push(described);
      }
    }
    return { path: requested, entries, truncated, ...(truncated ? nextPage(entries) : {}) };
  } catch (error) {
    signal.throwIfAborted();
    throw fileError(error, requested, platform);
  } finally {
    await directory?.file.close();
  }
}

function nextPage(entries: readonly Entry[]): { next_cursor?: string } {
  const last = entries.at(-1);
  return last === undefined ? {} : { next_cursor: last.name };
}

/** Returns the first names in sort order, in bounded memory. */
async function firstNames(
  directory: Directory,
  { platform, prefix = '', cursor = '', limit = MAX_ENTRIES }: ListingRange & { readonly platform: Platform },
): Promise<{ names: NamedEntry[]; truncated: boolean }> {
  const max = Math.min(limit, MAX_ENTRIES);
  const isWanted = ({ name }: NamedEntry) => name.startsWith(prefix) && name > cursor;
  let names: NamedEntry[] = [];
  let truncated = false;
  const cut = () => {
    names.sort((a, b) => (a.name < b.name ? -1 : 1));
    truncated ||= names.length > max;
    names = names.slice(0, max);
  };
  for await (const batch of readEntries(directory, { platform })) {
    for (const entry of batch) if (isWanted(entry)) names.push(entry);
    if (names.length >= 2 * MAX_ENTRIES) cut();
  }
  cut();
  return { names, truncated };
}

interface DescribeDeps {
  readonly gate: FileGate;
  readonly platform: Platform;
  /** Real path of the directory. */
  readonly realPath: string;
  /** Path through which the open directory is read. */
  readonly opened: string;
  readonly signal: AbortSignal;
}

function describer({
  gate,
  platform,
  realPath,
  opened,
  signal,
}: DescribeDeps): (entry: NamedEntry) => Promise<Entry> {
  const join = (directory: string, name: string) => platform.path.join(directory, name);
  let silentMs = 0;
  return async (entry) => {
    const name = entry.name.slice(0, 4096);
    const since = performance.now();
    try {
      const options = { signal, timeoutMs: MAX_SILENT_MS - silentMs };
      const stats = await gate.run(
        join(realPath, entry.name),
        () => lstat(join(opened, entry.name)),
        options,
      );
      const type = typeOf(stats);
      // One file with an unusual size must not make the whole listing invalid.
      const size = type === 'file' && Number.isSafeInteger(stats.size) ? stats.size : null;
      return { name, type, size, modified_at: timestampOf(stats.mtimeMs) };
    } catch (error) {
      if (error instanceof FileCallTimeout)
        silentMs = Math.min(MAX_SILENT_MS - 1, silentMs + performance.now() - since);
      // Not responding, deleted since, or a name that is not UTF-8: only the name is known.
      return { name, type: entry.type, size: null, modified_at: null };
    }
  };
}
