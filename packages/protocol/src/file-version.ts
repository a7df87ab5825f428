import type { Fingerprint } from './agent-messages/prepared.ts';
import type { ChangePolicy } from './change-policy.ts';

/**
 * Returns the fields that prove that the current file is not the fingerprinted version.
 *
 * A changed ctime alone is no proof: chmod, rename and a new hard link change it too. Nor is another device: its number
 * may change when the machine restarts. In both cases the bytes decide, which are read and compared anyway.
 *
 * With `prefix` the file may have grown, which changes its size and mtime.
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
 * The same for a file that was reopened to resume an interrupted upload.
 *
 * FAT, sshfs, mergerfs, CIFS and others assign new inode numbers at each mount. So a changed inode alone is no proof
 * here: the bytes decide, which are read and compared before the upload is completed. If size or mtime also differ, it is
 * another file, such as the next file of a rotated log.
 */
export function resumeDifferences(
  before: Fingerprint,
  now: Fingerprint,
  policy: ChangePolicy,
): ReturnType<typeof versionDifferences> {
  const isSameButInode = before.size === now.size && before.mtime_ns === now.mtime_ns;
  return versionDifferences(isSameButInode ? { ...before, inode: now.inode } : before, now, policy);
}
