import { BackhaulError, type ErrorCode } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';
import type { Platform } from '../platform/platform.ts';
import { seconds } from '../waits.ts';

/** A file system call has not returned in time, for example on a dead mount or a hanging disk. */
export class FileCallTimeout extends Error {
  override readonly name = 'FileCallTimeout';
  readonly silentMs: number;

  constructor(silentMs: number) {
    super(`the file system has not responded for ${seconds(silentMs)}`);
    this.silentMs = silentMs;
  }
}

/** For a call whose failure means that there is nothing, unless the file system hangs. */
export function nullUnlessTimeout(error: unknown): null {
  if (error instanceof FileCallTimeout) throw error;
  return null;
}

const posixCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'file_not_found',
  ENOTDIR: 'file_not_found',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  EISDIR: 'not_a_file',
  // Opening a socket, or a device without a driver.
  ENXIO: 'not_a_file',
  ENODEV: 'not_a_file',
  // Opening a symbolic link, or on macOS a path that contains one.
  ELOOP: 'path_not_allowed',
  ENAMETOOLONG: 'invalid_path',
  EILSEQ: 'invalid_path',
  ETXTBSY: 'file_locked',
};

/** Converts an error of the operating system into a code and a message. */
export function fileError(error: unknown, path: string, platform: Platform): BackhaulError {
  if (error instanceof BackhaulError) return error;
  if (error instanceof FileCallTimeout) {
    const message = `The file system of ${JSON.stringify(path)} has not responded for ${seconds(error.silentMs)}.`;
    return new BackhaulError('read_failed', message, { cause: error });
  }
  const errno = codeOf(error) ?? '';
  const code = platform.errorCode(errno) ?? posixCodes[errno] ?? 'read_failed';
  return new BackhaulError(code, sentence(code, errno, path), { cause: error });
}

function sentence(code: ErrorCode, errno: string, path: string): string {
  const name = JSON.stringify(path);
  switch (code) {
    case 'file_not_found':
      return `File ${name} does not exist.`;
    case 'path_not_allowed':
      return `${name} is or became a symbolic link, which the agent does not follow; request its target instead.`;
    case 'permission_denied':
      return `The agent's user has no permission to read ${name}; grant it read permission.`;
    case 'not_a_file':
      return `${name} is not a regular file.`;
    case 'file_locked':
      return `Another program has locked ${name} (${errno}).`;
    case 'invalid_path':
      return `${name} is not a valid file name on the agent's machine (${errno}).`;
    default:
      return `Reading ${name} failed (${errno === '' ? 'unknown error' : errno}).`;
  }
}
