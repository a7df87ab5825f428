import { link, lstat, open, rename, rm } from 'node:fs/promises';

/** Errors of `link` where a file system has no hard links: FAT, some network and FUSE mounts. */
const withoutHardLinks: ReadonlySet<unknown> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EISDIR',
]);

/** How a file gets its name; tests pass calls that fail. */
export interface NamingCalls {
  link(existing: string, added: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

export const namingCalls: NamingCalls = { link, rename };

/**
 * Takes the name only if it is free: unlike `rename`, `link` never replaces. The file may keep its old name besides.
 *
 * @throws an error with the code `EEXIST` if the name is taken.
 */
export async function takeFreeName(file: string, target: string, calls: NamingCalls): Promise<void> {
  try {
    await calls.link(file, target);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && withoutHardLinks.has(error.code))) throw error;
    // Without hard links: an empty file of our own holds the name until the rename.
    {
      await using placeholder = await open(target, 'wx');
      await placeholder.sync();
    }
    await replacePlaceholder(file, target, calls);
  }
}

async function replacePlaceholder(file: string, target: string, calls: NamingCalls): Promise<void> {
  try {
    await calls.rename(file, target);
  } catch (error) {
    // What another program has written there meanwhile stays.
    const found = await lstat(target).catch(() => undefined);
    if (found?.isFile() === true && found.size === 0) await rm(target, { force: true });
    throw error;
  }
}
