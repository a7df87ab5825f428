import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import test from 'node:test';
import { darwin } from './darwin.ts';

// Not run on a Mac: these tests verify the flags and the startup check, not the behaviour of macOS.

test('opens fail on a link anywhere in the path and do not block', () => {
  const noFollowAny = 0x2000_0000;
  for (const flags of [darwin.fileFlags, darwin.directoryFlags]) {
    assert.notEqual(flags & noFollowAny, 0);
    assert.notEqual(flags & constants.O_NONBLOCK, 0);
    assert.equal(flags & (constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT), 0);
  }
  assert.notEqual(darwin.directoryFlags & constants.O_DIRECTORY, 0);
});

test(
  'a system that does not support the flag is detected at startup',
  { skip: process.platform === 'darwin' && 'this system supports it' },
  async () => {
    assert.match((await darwin.startProblem()) ?? '', /O_NOFOLLOW_ANY/);
  },
);

test('paths that address files by number or change how links are followed are off limits', () => {
  for (const path of ['/dev/null', '/.vol/16777220/2', '/.nofollow/etc', '/.RESOLVE/1/etc']) {
    assert.equal(darwin.isOffLimits(path), true, path);
  }
  assert.equal(darwin.isOffLimits('/data/.vol'), false);
});
