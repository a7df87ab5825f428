import { link, lstat, open, rename, rm } from 'node:fs/promises';
import { getSystemErrorMap } from 'node:util';

/** The output could not be written: full disk, missing permission, or existing file. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
  /** The path, or `standard output`. */
  readonly target: string;
  /** `ENOSPC`, `EACCES`, `EEXIST`, … */
  readonly errno: string;

  constructor(target: string, errno: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.target = target;
    this.errno = errno;
  }
}

/** Converts errors of the operating system; returns other errors unchanged. */
export function asOutputError(error: unknown, target: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('errno' in error)) return error;
  const [errno, reason] = getSystemErrorMap().get(Number(error.errno)) ?? [String(error.code), error.message];
  if (errno === 'EEXIST') {
    return new OutputError(target, errno, `${target} already exists.`, { cause: error });
  }
  return new OutputError(target, errno, `${target} cannot be written: ${reason} (${errno}).`, {
    cause: error,
  });
}

/** Errors of `link` on file systems without hard links: FAT, some network and FUSE mounts. */
const withoutHardLinks: ReadonlySet<unknown> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EISDIR',
]);

/** The system calls that name a file; tests pass failing ones. */
export interface NamingCalls {
  link(existing: string, added: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

export const namingCalls: NamingCalls = { link, rename };

/**
 * Names the file only if the name is free: unlike `rename`, `link` never replaces a file. The old name may remain.
 *
 * @throws an error with the code `EEXIST` if the name is taken.
 */
export async function takeFreeName(file: string, target: string, calls: NamingCalls): Promise<void> {
  try {
    await calls.link(file, target);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && withoutHardLinks.has(error.code))) throw error;
    // Without hard links: an empty placeholder file reserves the name until the rename.
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
    // Remove the placeholder, unless another program has written to it.
    const found = await lstat(target).catch(() => undefined);
    if (found?.isFile() === true && found.size === 0) await rm(target, { force: true });
    throw error;
  }
}

/** Makes a new name durable. Failures are ignored: Windows cannot open a directory, some file systems cannot sync one, and the file is synced. */
export async function syncDirectory(directory: string): Promise<void> {
  try {
    await using handle = await open(directory);
    await handle.sync();
  } catch {
    // See above.
  }
}
