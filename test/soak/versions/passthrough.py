#!/usr/bin/env python3
"""passthrough.py DIRECTORY MOUNT: shows the directory's files at the mount, over FUSE. Needs fusepy."""
import os
import sys

from fuse import FUSE, Operations


class Passthrough(Operations):
    use_ns = True

    def __init__(self, root):
        self.root = root

    def __call__(self, operation, path, *arguments):
        return super().__call__(operation, self.root + path, *arguments)

    def getattr(self, path, handle=None):
        found = os.lstat(path)
        names = ('st_mode', 'st_nlink', 'st_size', 'st_uid', 'st_gid')
        attributes = {name: getattr(found, name) for name in names}
        for name in ('st_atime', 'st_mtime', 'st_ctime'):
            attributes[name] = getattr(found, name + '_ns')
        return attributes

    def readdir(self, path, handle):
        return ['.', '..'] + os.listdir(path)

    def open(self, path, flags):
        # Only the kernel on this side of the mount knows what O_DIRECT asks for.
        return os.open(path, flags & ~os.O_DIRECT)

    def create(self, path, mode, info=None):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def write(self, path, data, offset, handle):
        return os.pwrite(handle, data, offset)

    def truncate(self, path, length, handle=None):
        os.truncate(path, length)
        return 0

    def fsync(self, path, data_only, handle):
        return 0

    def release(self, path, handle):
        os.close(handle)
        return 0

    def rename(self, old, new):
        os.rename(old, self.root + new)
        return 0

    def unlink(self, path):
        os.unlink(path)
        return 0

    def utimens(self, path, times=None):
        os.utime(path, ns=times)
        return 0


FUSE(
    Passthrough(sys.argv[1]),
    sys.argv[2],
    foreground=True,
    allow_other=True,
    auto_cache=True,
    attr_timeout=1,
)
