import { constants } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Platform } from './platform.ts';
import { realPathOf } from './real-path.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_DIRECTORY } = constants;

export const linux: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_DIRECTORY,
  pathKey: (path) => path,
  pathProblem: () => null,
  // `/proc/self/environ` calls itself a regular file of size 0; reading it would hand out the agent's token.
  isOffLimits: (path) => /^\/(?:proc|sys|dev)(?:\/|$)/.test(path),
  async whereIs(handle, path) {
    try {
      return await readlink(`/proc/self/fd/${handle.fd}`);
    } catch {
      // A chroot or container without /proc.
      return await realPathOf(handle, path);
    }
  },
  directoryPath: (handle) => `/proc/self/fd/${handle.fd}`,
  errorCode: () => null,
};
