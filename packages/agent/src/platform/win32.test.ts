import assert from 'node:assert/strict';
import test from 'node:test';
import { win32 } from './win32.ts';

test('names that are invalid or have a special meaning on Windows are refused', () => {
  for (const path of [
    'C:\\data\\con',
    'C:\\data\\NUL.txt',
    'C:\\data\\com1.log',
    'C:\\data\\report.bin:stream',
    'C:\\data\\what?',
    'C:\\data\\trailing.',
    'C:\\data\\trailing ',
    'C:report.bin',
    '\\data\\report.bin',
  ]) {
    assert.notEqual(win32.pathProblem(path), null, path);
  }
  for (const path of [
    'C:\\data\\report.bin',
    'c:/data/../report.bin',
    '\\\\server\\share\\console.txt',
    'D:\\a.b.c',
  ]) {
    assert.equal(win32.pathProblem(path), null, path);
  }
});

test('the device namespace is off limits', () => {
  for (const path of ['\\\\.\\PhysicalDrive0', '\\\\?\\C:\\data', '//./pipe/x']) {
    assert.equal(win32.isOffLimits(path), true, path);
  }
  assert.equal(win32.isOffLimits('\\\\server\\share'), false);
});

test('path keys ignore case, and EBUSY is file_locked', () => {
  assert.equal(win32.pathKey('C:\\Data'), win32.pathKey('c:\\DATA'));
  assert.equal(win32.errorCode('EBUSY'), 'file_locked');
  assert.equal(win32.errorCode('ENOENT'), null);
});
