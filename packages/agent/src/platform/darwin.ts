import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { mountByName } from './mount-table.ts';
import type { Platform } from './platform.ts';

const { O_RDONLY, O_NONBLOCK, O_DIRECTORY } = constants;

/** Opening fails if any part of the path is a symbolic link (sys/fcntl.h; Node.js has no name for it). */
const O_NOFOLLOW_ANY = 0x2000_0000;

/** `/etc` is a link to `/private/etc` on every Mac. */
const trial = { direct: '/private/etc/hosts', throughLink: '/etc/hosts', link: '/etc' };

/** Not run on a Mac: its flags and rules are tested on Linux, where they cannot show that the system keeps them. */
export const darwin: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW_ANY,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW_ANY | O_DIRECTORY,
  needsPrivateRoots: false,
  hasOwners: true,
  // APFS ignores case and Unicode composition by default.
  pathKey: (path) => path.normalize('NFC').toLowerCase(),
  pathProblem: () => null,
  // `/.vol` names files by their number, wherever they lie; `/.nofollow` and `/.resolve` are flags as paths.
  isOffLimits: (path) => /^\/(?:dev|\.vol|\.nofollow|\.resolve)(?:\/|$)/i.test(path),
  // There is no procfs. devfs is at /dev.
  isKernelInterface: () => Promise.resolve(false),
  mountFinder: () => mountByName,
  async startProblem() {
    const results = await Promise.all([
      tryOpen(trial.direct, this.fileFlags),
      tryOpen(trial.throughLink, this.fileFlags),
      tryOpen(trial.link, this.directoryFlags),
    ]);
    if (results.join() === 'opened,ELOOP,ELOOP') return null;
    return `opening with O_NOFOLLOW_ANY does not refuse symbolic links as it should (${trial.direct}: ${results[0]}, ${trial.throughLink}: ${results[1]}, ${trial.link}: ${results[2]}). Without it the agent cannot prove that an opened file lies below --allow or --file. Use macOS 13.5 or later, which Node.js 24 needs as well.`;
  },
  // The system refused every link on the way, so the file lies where its path says.
  realPathOf: (_handle, opened) => Promise.resolve(opened),
  // By number: Node.js can list and look only by path, and this one cannot be swapped while the handle is open.
  async directoryPath(handle) {
    const { dev, ino } = await handle.stat({ bigint: true });
    return `/.vol/${dev}/${ino}`;
  },
  // Mapped writes move times when they are synced, and statfs gives types no fixed number.
  fileSystemOf: () => Promise.resolve('unknown'),
  openAgain: (_handle, opened) => open(opened, darwin.fileFlags),
  sendQueues: () => Promise.resolve(null),
  errorCode: () => null,
};

async function tryOpen(path: string, flags: number): Promise<string> {
  try {
    await (await open(path, flags)).close();
    return 'opened';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}
