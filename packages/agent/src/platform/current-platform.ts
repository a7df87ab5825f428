import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { darwin } from './darwin.ts';
import { linux } from './linux.ts';
import { mountByName } from './mount-table.ts';
import type { Platform } from './platform.ts';
import { win32 } from './win32.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_DIRECTORY } = constants;

/**
 * FreeBSD, AIX and others: Node.js has neither a flag that refuses links in the path nor a way to get the path of a
 * descriptor.
 */
const otherUnix: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_DIRECTORY,
  needsPrivateRoots: true,
  hasOwners: true,
  pathKey: (path) => path,
  pathProblem: () => null,
  isOffLimits: linux.isOffLimits,
  isKernelInterface: () => Promise.resolve(false),
  mountFinder: () => mountByName,
  startProblem: () => Promise.resolve(null),
  realPathOf: (_handle, opened) => Promise.resolve(opened),
  directoryPath: (_handle, realPath) => Promise.resolve(realPath),
  fileSystemOf: () => Promise.resolve('unknown'),
  reopen: (_handle, opened) => open(opened, otherUnix.fileFlags),
  sendQueues: () => Promise.resolve(null),
  // FreeBSD reports EMLINK for a link refused by O_NOFOLLOW; other systems report ELOOP.
  errorCode: (errno) => (errno === 'EMLINK' ? 'path_not_allowed' : null),
};

export function currentPlatform(name: NodeJS.Platform = process.platform): Platform {
  if (name === 'linux') return linux;
  if (name === 'darwin') return darwin;
  return name === 'win32' ? win32 : otherUnix;
}
