import type { BigIntStats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';

/** Write permission for the group or for all. */
const OTHERS_MAY_WRITE = 0o022n;

interface Opened {
  readonly requested: string;
  /** Real path of the descriptor. */
  readonly realPath: string;
  readonly platform: Platform;
}

/**
 * An account that can write a directory can create a hard link there to a file that the agent may read but the account
 * may not (Linux allows that unless `fs.protected_hardlinks` is 1). So a file with several names is read only if no
 * account other than its owner and root can have created the name.
 *
 * @throws BackhaulError `path_not_allowed`
 */
export async function requireOwnLink(
  opened: FileHandle,
  { requested, realPath, platform }: Opened,
): Promise<void> {
  const stats = await opened.stat({ bigint: true });
  if (!platform.hasOwners || !stats.isFile() || stats.nlink <= 1n) return;
  const directory = platform.path.dirname(realPath);
  let handle: FileHandle | null = null;
  try {
    handle = await open(directory, platform.directoryFlags);
    // Fails if the directory was replaced meanwhile.
    if ((await platform.realPathOf(handle, directory)) !== directory) throw foreignLink(requested, stats);
    const itself = await platform.directoryPath(handle, directory);
    const entryPath = platform.path.join(itself, platform.path.basename(realPath));
    const [{ uid, mode }, entry] = await Promise.all([
      handle.stat({ bigint: true }),
      lstat(entryPath, { bigint: true }),
    ]);
    const isThere = entry.dev === stats.dev && entry.ino === stats.ino;
    const isOwners = (uid === stats.uid || uid === 0n) && (mode & OTHERS_MAY_WRITE) === 0n;
    if (!isThere || !isOwners) throw foreignLink(requested, stats);
  } catch (error) {
    throw error instanceof BackhaulError ? error : foreignLink(requested, stats, error);
  } finally {
    await handle?.close();
  }
}

function foreignLink(requested: string, { nlink }: BigIntStats, cause?: unknown): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(requested)} is one of ${nlink} hard links to a file, and an account other than the file's owner may have created it, because it owns the directory or can write there. The owner of the agent's machine can allow such files with --allow-hard-links.`,
    { cause },
  );
}
