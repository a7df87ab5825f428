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

/**
 * Types of Linux file systems whose "regular files" are kernel interfaces, by `f_type` of statfs(2): the `*_MAGIC`
 * constants of linux/magic.h unless another header is named. Reading such a file queries the kernel, may reveal secrets
 * (`/proc/PID/environ`), may never end, and provides no reliable size or version.
 *
 * Not included: devtmpfs, which reports the type of tmpfs. Its entries are devices, not regular files.
 */
export const kernelFileSystems: ReadonlySet<number> = new Set([
  0x0000_9fa0, // proc
  0x6265_6572, // sysfs
  0x0000_1cd1, // devpts
  0x6462_6720, // debugfs
  0x7472_6163, // tracefs
  0x7363_6673, // securityfs
  0x0027_e0eb, // cgroup
  0x6367_7270, // cgroup2
  0x6265_6570, // configfs (fs/configfs/mount.c)
  0xde5e_81e4, // efivarfs
  0x6165_676c, // pstore
  0xcafe_4a11, // bpf
  0xf97c_ff8c, // selinux
  0x4341_5d53, // smack
  0x5a3c_69f0, // apparmorfs (AAFS_MAGIC)
  0x4249_4e4d, // binfmt_misc
  0x6e73_6673, // nsfs
  0x5049_4446, // pidfs
  0x1980_0202, // mqueue (ipc/mqueue.c)
  0x6573_5543, // fusectl
  0x6759_6969, // rpc_pipefs (net/sunrpc/rpc_pipe.c)
  0x6e66_7364, // nfsd (fs/nfsd/nfsctl.c)
  0x0765_5821, // resctrl
  0xabba_1974, // xenfs
  0x0000_9fa1, // openpromfs
  0x0904_1934, // anonymous inodes
  0x5345_434d, // secretmem
  0x444d_4142, // dma-buf
]);
