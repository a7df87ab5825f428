import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { codeOf } from '../errno.ts';
import { mountByName } from './mount-table.ts';
import type { Platform } from './platform.ts';

const { O_RDONLY, O_NONBLOCK, O_DIRECTORY } = constants;

/** The open fails if any component of the path is a symbolic link (sys/fcntl.h; Node.js has no constant for it). */
const O_NOFOLLOW_ANY = 0x2000_0000;

/** `/etc` is a link to `/private/etc` on every Mac. */
const trial = { direct: '/private/etc/hosts', throughLink: '/etc/hosts', link: '/etc' };

/** Not tested on a Mac: the tests check its flags and rules on Linux, not the behaviour of macOS. */
export const darwin: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW_ANY,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW_ANY | O_DIRECTORY,
  needsPrivateRoots: false,
  hasOwners: true,
  // APFS ignores case and Unicode composition by default.
  pathKey: (path) => path.normalize('NFC').toLowerCase(),
  pathProblem: () => null,
  // `/.vol` addresses files by inode number in any directory; `/.nofollow` and `/.resolve` are flags in the form of paths.
  isOffLimits: (path) => /^\/(?:dev|\.vol|\.nofollow|\.resolve)(?:\/|$)/i.test(path),
  // There is no procfs, and devfs is always at /dev.
  isKernelInterface: () => Promise.resolve(false),
  mountFinder: () => mountByName,
  async startProblem() {
    const results = await Promise.all([
      tryOpen(trial.direct, this.fileFlags),
      tryOpen(trial.throughLink, this.fileFlags),
      tryOpen(trial.link, this.directoryFlags),
    ]);
    if (results.join() === 'opened,ELOOP,ELOOP') return null;
    return `O_NOFOLLOW_ANY does not refuse symbolic links as expected (${trial.direct}: ${results[0]}, ${trial.throughLink}: ${results[1]}, ${trial.link}: ${results[2]}). Without it the agent cannot prove that an opened file is covered by --allow or --file. Use macOS 13.5 or later, which Node.js 24 also requires.`;
  },
  // The open refused all links in the path, so the path is the real path.
  realPathOf: (_handle, opened) => Promise.resolve(opened),
  // By inode number: Node.js can list and stat only by path, and this path cannot be replaced while the handle is open.
  async directoryPath(handle) {
    const { dev, ino } = await handle.stat({ bigint: true });
    return `/.vol/${dev}/${ino}`;
  },
  // Mapped writes change times only when they are synced, and statfs types have no fixed numbers.
  fileSystemOf: () => Promise.resolve('unknown'),
  reopen: (_handle, opened) => open(opened, darwin.fileFlags),
  sendQueues: () => Promise.resolve(null),
  errorCode: () => null,
};

async function tryOpen(path: string, flags: number): Promise<string> {
  try {
    await (await open(path, flags)).close();
    return 'opened';
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}
