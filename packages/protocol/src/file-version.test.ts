import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resumeDifferences, versionDifferences } from './file-version.ts';

const before = { device: '1', inode: '2', size: '100', mtime_ns: '3', ctime_ns: '4' };

describe('another version of a file', () => {
  test('is detected by inode, size and mtime, and not by device or ctime alone', () => {
    for (const policy of ['fail', 'restart', 'prefix'] as const) {
      assert.deepEqual(versionDifferences(before, { ...before, device: '9', ctime_ns: '9' }, policy), []);
      assert.deepEqual(versionDifferences(before, { ...before, inode: '9' }, policy), ['inode']);
    }
    const changed = { ...before, size: '99', mtime_ns: '9' };
    assert.deepEqual(versionDifferences(before, changed, 'fail'), ['size', 'mtime_ns']);
  });

  test('with prefix is the same version if it has only grown', () => {
    assert.deepEqual(versionDifferences(before, { ...before, size: '101', mtime_ns: '9' }, 'prefix'), []);
    assert.deepEqual(versionDifferences(before, { ...before, size: '99', mtime_ns: '9' }, 'prefix'), [
      'size',
    ]);
    const large = { ...before, size: '9007199254740993' };
    assert.deepEqual(versionDifferences(large, { ...large, size: '9007199254740992' }, 'prefix'), ['size']);
  });

  test('for a resumed upload is not detected by the inode alone, which a remount may change', () => {
    for (const policy of ['fail', 'restart', 'prefix'] as const) {
      assert.deepEqual(resumeDifferences(before, { ...before, inode: '9', device: '9' }, policy), []);
    }
    const moved = { ...before, inode: '9', mtime_ns: '9' };
    assert.deepEqual(resumeDifferences(before, moved, 'fail'), ['inode', 'mtime_ns']);
    assert.deepEqual(resumeDifferences(before, moved, 'prefix'), ['inode']);
    assert.deepEqual(resumeDifferences(before, { ...before, inode: '9', size: '101' }, 'prefix'), ['inode']);
  });
});
