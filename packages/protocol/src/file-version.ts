import type { Fingerprint } from './agent-messages/prepared.ts';
import type { ChangePolicy } from './change-policy.ts';

/**
 * The fields by which the file that is there now is surely not the version that was fingerprinted.
 *
 * A changed ctime alone is no proof: chmod, rename and a new hard link move it too. Nor is another device: its number
 * may change when the machine starts anew. Both are settled by the bytes, which are read and compared in any case.
 *
 * With `prefix` the file may have grown since, which moves its size and mtime.
 */
export function versionDifferences(
  before: Fingerprint,
  now: Fingerprint,
  policy: ChangePolicy,
): ('inode' | 'size' | 'mtime_ns')[] {
  const differing = (['inode', 'size', 'mtime_ns'] as const).filter((field) => before[field] !== now[field]);
  if (policy !== 'prefix') return differing;
  const isShorter = BigInt(now.size) < BigInt(before.size);
  return differing.filter((field) => field === 'inode' || (field === 'size' && isShorter));
}

/**
 * The same for a file that was reopened to go on with an interrupted upload.
 *
 * FAT, sshfs, mergerfs, CIFS and others give a file another inode number after each mount. So an inode alone is no proof
 * here either: the bytes decide, which are read and compared before anything is completed. With another size or mtime as
 * well it is another file, such as the next one of a log that is rotated.
 */
export function resumeDifferences(
  before: Fingerprint,
  now: Fingerprint,
  policy: ChangePolicy,
): ReturnType<typeof versionDifferences> {
  const isSameButInode = before.size === now.size && before.mtime_ns === now.mtime_ns;
  return versionDifferences(isSameButInode ? { ...before, inode: now.inode } : before, now, policy);
}
