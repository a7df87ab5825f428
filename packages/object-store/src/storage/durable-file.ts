import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A name nobody has used. */
export function freshName(): string {
  return randomBytes(16).toString('hex');
}

/** Makes renames, links and removals in a directory survive a power cut. */
export type SyncDirectory = (path: string) => Promise<void>;

export const syncDirectory: SyncDirectory = async (path) => {
  // Windows can't open directories; NTFS journals its metadata by itself.
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
};

/**
 * Puts a small file in place as a whole or not at all: after a crash either the old content is there or the new.
 * Which of them, after a power cut, is certain only once the directory was synced.
 * @param temporary a directory on the same file system
 * @throws before the file is in its place; never afterwards
 */
export async function replaceFile(path: string, text: string, temporary: string): Promise<void> {
  const staged = join(temporary, freshName());
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

/** As `replaceFile`, and syncs the directory: whoever gets an error can't know which content is there. */
export async function writeDurably(path: string, text: string, temporary: string): Promise<void> {
  await replaceFile(path, text, temporary);
  await syncDirectory(dirname(path));
}
