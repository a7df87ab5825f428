import { constants } from 'node:fs';
import { posix } from 'node:path';
import type { Platform } from './platform.ts';
import { realPathOf } from './real-path.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_DIRECTORY } = constants;

export const darwin: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_DIRECTORY,
  // APFS ignores case and Unicode composition by default.
  pathKey: (path) => path.normalize('NFC').toLowerCase(),
  pathProblem: () => null,
  isOffLimits: (path) => /^\/dev(?:\/|$)/i.test(path),
  whereIs: realPathOf,
  directoryPath: (_handle, realPath) => realPath,
  errorCode: () => null,
};
