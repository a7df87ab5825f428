import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathProblem } from './path-problem.ts';

test('a path that no file of the machine can have is refused with what to give', () => {
  for (const [path, os, problem] of [
    ['report.bin', 'linux', /relative/],
    ['./report.bin', 'freebsd', /relative/],
    ['~/report.bin', 'linux', /no ~/],
    ['~', 'darwin', /no ~/],
    ['C:\\data\\report.bin', 'linux', /path of Windows, and the machine runs linux/],
    ['/data/report.bin', 'win32', /drive letter or a share/],
    ['~\\report.bin', 'win32', /drive letter or a share/],
    ['C:report.bin', 'win32', /drive letter or a share/],
    ['C:\\data\\nul.txt', 'win32', /reserves the name nul\.txt/],
    ['C:\\data\\a?.bin', 'win32', /cannot contain/],
  ] as const) {
    assert.match(pathProblem(path, os) ?? 'possible', problem, path);
  }
});

test('any other path is left to the agent', () => {
  for (const [path, os] of [
    ['/data/~/C:\\odd?.bin', 'linux'],
    ['/', 'plan9'],
    ['c:/data/../report.bin', 'win32'],
    ['\\\\server\\share\\report.bin', 'win32'],
  ] as const) {
    assert.equal(pathProblem(path, os), null, path);
  }
});
