import { chmod, lstat, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '../config/config-error.ts';
import { BackupError } from './backup-error.ts';
import { openSource } from './open-source.ts';
import { writeSnapshot } from './snapshot.ts';

/**
 * Writes a consistent copy of a database, which a server may have open and be writing to.
 *
 * @param paths.file Is there afterwards, on disk and whole, or not at all. It is never overwritten.
 * @returns its size.
 * @throws ConfigError where something else has to be named; BackupError for any other fault, an abort among them.
 */
export async function takeBackup(
  { databasePath, file }: { databasePath: string; file: string },
  { signal }: { signal: AbortSignal },
): Promise<{ sizeBytes: number }> {
  if (await exists(file)) throw alreadyThere(file);
  using source = openSource(databasePath);
  const drafts = await makeDirectoryBeside(file);
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
    throw new BackupError(`there is no backup at ${file}: ${reason}`, { cause: error });
  } finally {
    await rm(drafts, { recursive: true, force: true });
  }
}

/** For the draft and what SQLite puts beside it; closed to others, because SQLite makes files as the umask says. */
async function makeDirectoryBeside(file: string): Promise<string> {
  try {
    return await mkdtemp(`${file}.partial-`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw unusable(`there is no directory ${dirname(file)}; make it, or name another FILE`, error);
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw unusable(`${dirname(file)} cannot be written to (${code}); name another FILE`, error);
    }
    throw new BackupError(`there is no backup at ${file}: ${code}`, { cause: error });
  }
}

/** A rename alone would replace a file that somebody has made meanwhile. */
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
  // Windows cannot open directories; NTFS journals its metadata by itself.
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
    // What else may be wrong shows when it is written.
    return false;
  }
}

function alreadyThere(file: string, cause?: unknown): ConfigError {
  return unusable(`${file} exists already, and a backup overwrites nothing; name another FILE`, cause);
}

function unusable(reason: string, cause: unknown): ConfigError {
  return new ConfigError([{ setting: 'FILE', message: `FILE: ${reason}.` }], { cause });
}
