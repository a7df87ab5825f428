import type { FileSystem } from './platform.ts';

/**
 * The `f_type` of statfs(2), from `linux/magic.h`. Verified by tests and in the kernel's sources: every write changes the
 * ctime, also the first one to a mapped page after it was written back, and no program can set the ctime; and an
 * `O_DIRECT` read of any length waits for a running write(). Btrfs refuses an unaligned direct read before it waits. tmpfs
 * does not change the ctime on a write to a mapped page that was accessed before, and ZFS changes it late. An overlay
 * behaves like the file system below it, which it does not report.
 */
const EXACT_TIMES: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
]);

/** File systems whose files other machines can change while this kernel still caches the old pages. */
const SHARED: ReadonlySet<number> = new Set([
  0x65735546, // FUSE: sshfs, mergerfs, s3fs, virtiofs
  0x6969, // NFS
  0x517b, // SMB
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x01021997, // 9P
  0x00c36400, // Ceph
  0x5346414f, // AFS
  0x0bd00bd3, // Lustre
  0x786f4256, // vboxsf: shared folders of VirtualBox
  0xbacbacbc, // vmhgfs: shared folders of VMware
  0x7461636f, // OCFS2
  0x01161970, // GFS2
  0x19830326, // BeeGFS
  0x47504653, // GPFS
  0x20030528, // OrangeFS
]);

/** @param magic Lower 32 bits of the kernel's `f_type`. */
export function linuxFileSystem(magic: number): FileSystem {
  if (EXACT_TIMES.has(magic)) return 'exact_times';
  return SHARED.has(magic) ? 'shared' : 'unknown';
}
