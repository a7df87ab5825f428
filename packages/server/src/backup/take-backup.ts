import { chmod, lstat, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '../config/config-error.ts';
import { BackupError } from './backup-error.ts';
import { openSource } from './open-source.ts';
import { writeSnapshot } from './snapshot.ts';

/**
 * Writes a consistent copy of a database, which a server may have open and be writing to.
 *
 * @param paths.file Afterwards it exists completely, synced to disk, or not at all. It is never overwritten.
 * @returns its size.
 * @throws ConfigError if a path must change; BackupError for any other failure, including an abort.
 */
export async function takeBackup(
  { databasePath, file }: { databasePath: string; file: string },
  { signal }: { signal: AbortSignal },
): Promise<{ sizeBytes: number }> {
  if (await exists(file)) throw alreadyThere(file);
  using source = openSource(databasePath);
  const drafts = await makeDraftDirectory(file);
  try {
    const draft = join(drafts, 'backup.sqlite');
    await writeSnapshot(source, draft, { signal });
    await chmod(draft, 0o600);
    await sync(draft);
    const { size: sizeBytes } = await lstat(draft);
    await putInPlace(draft, file);
    return { sizeBytes };
  } catch (error) {
    if (error instanceof ConfigError || error instanceof BackupError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackupError(`no backup was written to ${file}: ${reason}`, { cause: error });
  } finally {
    await rm(drafts, { recursive: true, force: true });
  }
}

/**
 * For the draft and the files SQLite creates next to it. Private, because SQLite creates files with the umask's mode.
 */
async function makeDraftDirectory(file: string): Promise<string> {
  try {
    return await mkdtemp(`${file}.partial-`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw unusable(
        `the directory ${dirname(file)} does not exist; create it, or choose another FILE`,
        error,
      );
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw unusable(`${dirname(file)} is not writable (${code}); choose another FILE`, error);
    }
    throw new BackupError(`no backup was written to ${file}: ${code}`, { cause: error });
  }
}

/** A plain rename would replace a file created in the meantime. */
async function putInPlace(draft: string, file: string): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close();
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? alreadyThere(file, error) : error;
  }
  try {
    await rename(draft, file);
  } catch (error) {
    await rm(file);
    throw error;
  }
  // Windows cannot open directories; NTFS journals its metadata itself.
  if (process.platform !== 'win32') await sync(dirname(file));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    // Other problems show up when it is written.
    return false;
  }
}

function alreadyThere(file: string, cause?: unknown): ConfigError {
  return unusable(`${file} already exists and is not overwritten; choose another FILE`, cause);
}

function unusable(reason: string, cause: unknown): ConfigError {
  return new ConfigError([{ setting: 'FILE', message: `FILE: ${reason}.` }], { cause });
}
