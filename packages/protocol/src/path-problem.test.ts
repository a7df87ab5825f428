import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathProblem } from './path-problem.ts';

test('an impossible path is refused with a suggestion', () => {
  for (const [path, os, problem] of [
    ['report.bin', 'linux', /relative/],
    ['./report.bin', 'freebsd', /relative/],
    ['~/report.bin', 'linux', /expand ~/],
    ['~', 'darwin', /expand ~/],
    ['C:\\data\\report.bin', 'linux', /Windows path, but the machine runs linux/],
    ['/data/report.bin', 'win32', /drive letter or share/],
    ['~\\report.bin', 'win32', /drive letter or share/],
    ['C:report.bin', 'win32', /drive letter or share/],
    ['C:\\data\\nul.txt', 'win32', /reserves the name nul\.txt/],
    ['C:\\data\\a?.bin', 'win32', /cannot contain/],
  ] as const) {
    assert.match(pathProblem(path, os) ?? 'possible', problem, path);
  }
});

test('any other path is accepted and checked by the agent', () => {
  for (const [path, os] of [
    ['/data/~/C:\\odd?.bin', 'linux'],
    ['/', 'plan9'],
    ['c:/data/../report.bin', 'win32'],
    ['\\\\server\\share\\report.bin', 'win32'],
  ] as const) {
    assert.equal(pathProblem(path, os), null, path);
  }
});
