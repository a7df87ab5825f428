import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { win32 as windowsPath } from 'node:path';
import { windowsPathProblem } from '@backhaul/protocol';
import type { Platform } from './platform.ts';

export const win32: Platform = {
  path: windowsPath,
  fileFlags: constants.O_RDONLY,
  directoryFlags: constants.O_RDONLY,
  // Node.js provides neither the path of a handle nor the permissions of a directory.
  needsPrivateRoots: true,
  hasOwners: false,
  pathKey: (path) => path.toLowerCase(),
  pathProblem: windowsPathProblem,
  // `\\?\`, `\\.\`: the device namespace, where path rules do not apply.
  isOffLimits: (path) => /^[\\/]{2}[?.](?:[\\/]|$)/.test(path),
  isKernelInterface: () => Promise.resolve(false),
  mountFinder: () => (path) => {
    // A drive or a share.
    const point = windowsPath.parse(path).root;
    return { key: point.toLowerCase(), point };
  },
  startProblem: () => Promise.resolve(null),
  realPathOf: (_handle, opened) => Promise.resolve(opened),
  directoryPath: (_handle, realPath) => Promise.resolve(realPath),
  // NTFS may update times late, and statfs reports no type.
  fileSystemOf: () => Promise.resolve('unknown'),
  reopen: (_handle, opened) => open(opened, win32.fileFlags),
  sendQueues: () => Promise.resolve(null),
  errorCode: (errno) => (errno === 'EBUSY' ? 'file_locked' : null),
};
