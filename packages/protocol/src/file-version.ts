import { z } from 'zod';

/** 64 bits of seconds as nanoseconds have 28 digits, a file id of 128 bits (ReFS) has 39. */
const decimalSchema = z.string().regex(/^-?\d{1,40}$/, 'not a whole number of at most 40 digits');

/** Identifies a file and its version. Decimal strings, because inodes and nanoseconds can exceed 2^53. */
export const fingerprintSchema = z.object({
  device: decimalSchema.meta({ description: 'Device of the file.' }),
  inode: decimalSchema.meta({ description: 'Inode, or file index on Windows.' }),
  size: decimalSchema.meta({ description: 'Size in bytes.' }),
  mtime_ns: decimalSchema.meta({ description: 'Modification time, nanoseconds since 1970.' }),
  ctime_ns: decimalSchema.meta({ description: 'Status change time, nanoseconds since 1970.' }),
});
export type Fingerprint = z.infer<typeof fingerprintSchema>;

/** Behaviour of an upload whose file no longer matches its fingerprint. */
export const changePolicySchema = z.enum(['fail', 'restart', 'prefix']).meta({
  description:
    'If the file changes during the upload: `fail` (default) ends it as `file_changed`; `restart` starts over with the new version, a few times; `prefix`, for files that are only appended to, uploads exactly the bytes that existed at the start.',
});
export type ChangePolicy = z.infer<typeof changePolicySchema>;

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
