import { constants } from 'node:fs';
import { win32 as windowsPath } from 'node:path';
import type { Platform } from './platform.ts';
import { realPathOf } from './real-path.ts';

/** Device names are reserved in every directory, with any extension (Microsoft, "Naming Files, Paths, and Namespaces"). */
const reservedName = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?$/i;

export const win32: Platform = {
  path: windowsPath,
  fileFlags: constants.O_RDONLY,
  directoryFlags: constants.O_RDONLY,
  pathKey: (path) => path.toLowerCase(),
  pathProblem(path) {
    const { root } = windowsPath.parse(path);
    if (!/^[a-z]:[\\/]$/i.test(root) && !root.startsWith('\\\\')) {
      return 'the path needs a drive letter or a share, such as C:\\data\\report.bin';
    }
    for (const name of path.slice(root.length).split(/[\\/]/)) {
      if (reservedName.test(name)) return `Windows reserves the name ${name}`;
      // "file.txt:stream" would read a hidden second content of an allowed name.
      if (/[:*?"<>|]/.test(name)) return 'Windows names cannot contain : * ? " < > |';
      if (/[. ]$/.test(name) && name !== '.' && name !== '..') {
        return 'Windows drops a dot or space at the end of a name';
      }
    }
    return null;
  },
  // `\\?\`, `\\.\`: the device namespace, where path rules do not apply.
  isOffLimits: (path) => /^[\\/]{2}[?.](?:[\\/]|$)/.test(path),
  whereIs: realPathOf,
  directoryPath: (_handle, realPath) => realPath,
  errorCode: (errno) => (errno === 'EBUSY' ? 'file_locked' : null),
};
