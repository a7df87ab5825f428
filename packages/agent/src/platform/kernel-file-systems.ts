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
