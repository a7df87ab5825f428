import { BackhaulError, type ErrorCode } from '@backhaul/protocol';
import { NoAnswer, seconds } from './no-answer.ts';
import type { Platform } from '../platform/platform.ts';

const posixCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'file_not_found',
  ENOTDIR: 'file_not_found',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  EISDIR: 'not_a_file',
  // Opening a socket, or a device without a driver.
  ENXIO: 'not_a_file',
  ENODEV: 'not_a_file',
  // Opening a symbolic link, or on macOS a path with one in it.
  ELOOP: 'path_not_allowed',
  ENAMETOOLONG: 'invalid_path',
  EILSEQ: 'invalid_path',
  ETXTBSY: 'file_locked',
};

/** Puts what the operating system said into a code and a sentence of ours. */
export function fileError(error: unknown, path: string, platform: Platform): BackhaulError {
  if (error instanceof BackhaulError) return error;
  if (error instanceof NoAnswer) {
    const why = `The file system of ${JSON.stringify(path)} has not answered for ${seconds(error.silentMs)}.`;
    return new BackhaulError('read_failed', why, { cause: error });
  }
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  const code = platform.errorCode(errno) ?? posixCodes[errno] ?? 'read_failed';
  return new BackhaulError(code, sentence(code, errno, path), { cause: error });
}

function sentence(code: ErrorCode, errno: string, path: string): string {
  const name = JSON.stringify(path);
  switch (code) {
    case 'file_not_found':
      return `File ${name} does not exist.`;
    case 'path_not_allowed':
      return `${name} is or became a symbolic link, which the agent does not follow; ask for what it leads to.`;
    case 'permission_denied':
      return `The user that the agent runs as may not read ${name}; grant it read permission.`;
    case 'not_a_file':
      return `${name} is not a regular file.`;
    case 'file_locked':
      return `Another program holds ${name} locked (${errno}).`;
    case 'invalid_path':
      return `The agent's machine cannot have a file named ${name} (${errno}).`;
    default:
      return `Reading ${name} failed (${errno === '' ? 'unknown error' : errno}).`;
  }
}
