import type { FileSystem } from './platform.ts';

/**
 * The `f_type` of statfs(2), from `linux/magic.h`. Tested, and read in the kernel's sources: every write, also the
 * first one to a mapped page after it was written back, moves the ctime, and no program can set that; and a read with
 * `O_DIRECT`, of whatever length, waits for a write() under way. Btrfs refuses one that is not aligned before it waits.
 * tmpfs does not move the ctime when a mapped page is written that was touched before, and ZFS does so late; an overlay
 * does what the file system below it does, which it does not tell.
 */
const EXACT_TIMES: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
]);

/** Others change these files without this kernel's knowledge, while it still has their old pages. */
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

/** @param magic The kernel's `f_type`, its lower 32 bits. */
export function linuxFileSystem(magic: number): FileSystem {
  if (EXACT_TIMES.has(magic)) return 'exact_times';
  return SHARED.has(magic) ? 'shared' : 'unknown';
}
