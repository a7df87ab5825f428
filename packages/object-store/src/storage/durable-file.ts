import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Returns a new random file name. */
export function uniqueName(): string {
  return randomBytes(16).toString('hex');
}

/** Makes renames, links and removals in a directory durable. */
export type SyncDirectory = (path: string) => Promise<void>;

export const syncDirectory: SyncDirectory = async (path) => {
  // Windows cannot open directories; NTFS journals its metadata.
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
};

/**
 * Replaces a small file atomically: after a crash the file has either the old or the new content. After a power
 * failure it may be the old content unless the directory was synced.
 * @param temporary a directory on the same file system
 * @throws only before the file was replaced
 */
export async function replaceFile(path: string, text: string, temporary: string): Promise<void> {
  const staged = join(temporary, uniqueName());
  try {
    const file = await open(staged, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staged, path);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  }
}

/** Like `replaceFile`, and syncs the directory. After an error the file may have either content. */
export async function writeDurably(path: string, text: string, temporary: string): Promise<void> {
  await replaceFile(path, text, temporary);
  await syncDirectory(dirname(path));
}
