import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LOCK_FILE } from './data-directory-lock.ts';
import { syncDirectory } from './durable-file.ts';

const FORMAT = JSON.stringify({ format: 1 });
const FORMAT_FILE = 'format.json';
const STAGED_FORMAT_FILE = 'format.json.new';

/** A directory that is not this store's to write to. Nothing in it was changed. */
export class ForeignDataDirectory extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ForeignDataDirectory';
  }
}

/** What a start leaves behind that dies before the directory has its format. */
function isOwnLeftover(name: string): boolean {
  return name === STAGED_FORMAT_FILE || name.startsWith(LOCK_FILE);
}

/**
 * Reads whose directory this is, and changes nothing.
 * @returns whether it is new: empty, and still to be claimed
 * @throws ForeignDataDirectory if it holds other things, or was written by another version of this layout
 */
export async function isNewDataDirectory(directory: string): Promise<boolean> {
  const path = join(directory, FORMAT_FILE);
  const found = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === FORMAT) return false;
  if (found !== undefined) {
    throw new ForeignDataDirectory(
      `${path} says ${found.slice(0, 200)}; this version reads ${FORMAT}. Use another --data directory.`,
    );
  }
  const strange = (await readdir(directory)).find((name) => !isOwnLeftover(name));
  if (strange !== undefined) {
    throw new ForeignDataDirectory(
      `${directory} is no data directory of backhaul-object-store, and holds other things, such as ${strange}. Give --data an empty or a new directory.`,
    );
  }
  return true;
}

/** Makes a new directory this store's, before anything else is put into it. */
export async function claimDataDirectory(directory: string): Promise<void> {
  // Beside its place and not in `tmp`, which may be touched only in a directory that is already claimed.
  const staged = join(directory, STAGED_FORMAT_FILE);
  await writeFile(staged, FORMAT, { mode: 0o600, flush: true });
  await rename(staged, join(directory, FORMAT_FILE));
  await syncDirectory(directory);
}
