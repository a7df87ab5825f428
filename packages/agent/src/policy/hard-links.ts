import type { BigIntStats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';

/** Write permission for the group or for all. */
const OTHERS_MAY_WRITE = 0o022n;

interface Opened {
  readonly asked: string;
  /** Where the descriptor really lies. */
  readonly realPath: string;
  readonly platform: Platform;
}

/**
 * An account that can write a directory can make a link there to a file that it may not read itself, but the agent
 * may (Linux allows that unless `fs.protected_hardlinks` is 1). So a file with several names is read only where nobody
 * but its owner and root can have made the name.
 *
 * @throws BackhaulError `path_not_allowed`
 */
export async function requireOwnLink(
  opened: FileHandle,
  { asked, realPath, platform }: Opened,
): Promise<void> {
  const stats = await opened.stat({ bigint: true });
  if (!platform.hasOwners || !stats.isFile() || stats.nlink <= 1n) return;
  const directory = platform.path.dirname(realPath);
  let handle: FileHandle | null = null;
  try {
    handle = await open(directory, platform.directoryFlags);
    // The very directory that the file is in, whatever is swapped meanwhile.
    if ((await platform.realPathOf(handle, directory)) !== directory) throw foreignLink(asked, stats);
    const itself = await platform.directoryPath(handle, directory);
    const entryPath = platform.path.join(itself, platform.path.basename(realPath));
    const [{ uid, mode }, entry] = await Promise.all([
      handle.stat({ bigint: true }),
      lstat(entryPath, { bigint: true }),
    ]);
    const isThere = entry.dev === stats.dev && entry.ino === stats.ino;
    const isOwners = (uid === stats.uid || uid === 0n) && (mode & OTHERS_MAY_WRITE) === 0n;
    if (!isThere || !isOwners) throw foreignLink(asked, stats);
  } catch (error) {
    throw error instanceof BackhaulError ? error : foreignLink(asked, stats, error);
  } finally {
    await handle?.close();
  }
}

function foreignLink(asked: string, { nlink }: BigIntStats, cause?: unknown): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(asked)} is one of ${nlink} hard links to a file, and others than the file's owner may have made it, because they own its directory or can write there. The owner of the agent's machine can allow such files with --allow-hard-links.`,
    { cause },
  );
}
