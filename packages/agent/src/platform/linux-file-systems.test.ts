import assert from 'node:assert/strict';
import test from 'node:test';
import { linuxFileSystem } from './linux-file-systems.ts';

test('timestamps are exact only on ext4 and XFS; Btrfs does not wait for a running write()', () => {
  assert.equal(linuxFileSystem(0xef53), 'exact_times');
  assert.equal(linuxFileSystem(0x58465342), 'exact_times');
  assert.equal(linuxFileSystem(0x9123683e), 'unknown');
  assert.equal(linuxFileSystem(0x01021994), 'unknown', 'tmpfs');
});

test('shared folders of virtual machines and cluster file systems are shared, like FUSE and NFS', () => {
  const vboxsf = 0x786f4256;
  const vmhgfs = 0xbacbacbc;
  const clusters = [0x7461636f, 0x01161970, 0x19830326, 0x47504653, 0x20030528];
  for (const magic of [vboxsf, vmhgfs, ...clusters, 0x65735546, 0x6969]) {
    assert.equal(linuxFileSystem(magic), 'shared', magic.toString(16));
  }
});
