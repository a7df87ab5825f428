import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { fileNameOf, isNameOf, pathProblem, savedFileName } from './file-path.ts';

test('the name of a file is the last component of its POSIX or Windows path', () => {
  for (const [filePath, name] of [
    ['/data/report.bin', 'report.bin'],
    ['C:\\Data\\report.bin', 'report.bin'],
    ['\\\\server\\share\\report.bin', 'report.bin'],
    ['report.bin', 'report.bin'],
    ['/data/dir/', 'dir'],
    ['/data/report.bin/.', 'report.bin'],
    ['/data/x/../report.bin', 'report.bin'],
    ['/data/report.bin/x/..', 'report.bin'],
    ['/', '/'],
    ['/..', '/..'],
  ] as const) {
    assert.equal(fileNameOf(filePath), name);
  }
});

test('an agent’s name matches the requested path regardless of spelling differences of the system', () => {
  for (const [name, filePath] of [
    ['report.bin', '/data/report.bin'],
    ['report.bin', '/data/report.bin/'],
    ['r.bin', 'C:\\data\\r.bin'],
    ['r.bin', 'C:\\data\\r.bin\\'],
    // On Windows relative to the current directory of a drive; on POSIX a name.
    ['report.txt', 'C:report.txt'],
    ['C:report.txt', 'C:report.txt'],
    // On POSIX a backslash is part of the name.
    ['C:\\temp\\x.txt', '/data/C:\\temp\\x.txt'],
    ['cafe\u0301.txt', '/data/caf\u00e9.txt'],
    ['Report.BIN', 'C:\\data\\report.bin'],
    [' two\nlines ', '/data/ two\nlines '],
  ] as const) {
    assert.ok(isNameOf(name, filePath), `${name} of ${filePath}`);
  }
});

test('any other name does not match', () => {
  for (const name of [
    'deploy.sh',
    '',
    '.',
    '..',
    '/data/report.bin',
    '../report.bin',
    'report.bin\0',
    'report.bin ',
  ]) {
    assert.ok(!isNameOf(name, '/data/report.bin'), name);
  }
  assert.ok(!isNameOf('report.txt', '/data/C:report.txt'), 'a drive is in front only');
  assert.ok(!isNameOf('', 'C:'), 'a drive alone names no file');
});

test('ordinary names are kept', () => {
  for (const name of ['report.bin', 'Größe 文件.txt', 'a (1).tar.gz', '_x', '-rf', 'console.log', 'a..b']) {
    assert.equal(savedFileName(`/data/${name}`), name);
  }
});

test('reserved names, control characters and hidden names are replaced', () => {
  for (const [filePath, saved] of [
    ['../../etc/passwd', 'passwd'],
    ['C:\\windows\\evil.exe', 'evil.exe'],
    ['/home/x/.bashrc', '_bashrc'],
    ['/data/a:b?\u001b[2J\n.txt', 'a_b__[2J_.txt'],
    ['/data/invoice\u202efdp.exe', 'invoice_fdp.exe'],
    ['/data/\u009b2J', '_2J'],
    ['/data/pay\u200bpal\u3164\u115f\u{e0041}\u00ad.txt', 'pay_pal____.txt'],
    ['/dev/CON', '_CON'],
    ['/data/nul.txt', '_nul.txt'],
    ['/data/com\u00b9', '_com\u00b9'],
    ['/data/trailing. . ', 'trailing'],
    ['/data/\ud800.txt', '\ufffd.txt'],
    ['/', '_'],
    ['/..', '_'],
    ['/data/\u0020', 'file'],
  ] as const) {
    assert.equal(savedFileName(filePath), saved, JSON.stringify(filePath));
  }
});

test('a long name is shortened between characters and keeps its extension', () => {
  const long = savedFileName(`/data/${'文'.repeat(200)}.parquet`);
  assert.equal(long, `${'文'.repeat(77)}.parquet`);
  assert.ok(Buffer.byteLength(long) <= 240);
});

test('joined to a directory, any saved name is an entry of that directory, on every system', (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom('.', '/', '\\', ' ', ':', 'n', 'u', 'l', '\0', '\u202e', '\ud800'),
      maxLength: 20,
    }),
  );
  fc.assert(
    fc.property(part, (filePath) => {
      const name = savedFileName(filePath);
      assert.match(name, /^[^.\s]/u);
      assert.doesNotMatch(name, /[/\\<>:"|?*]|\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}|[\u115f\u3164]|[. ]$/u);
      assert.ok(name.isWellFormed() && Buffer.byteLength(name) <= 245);
      assert.equal(path.posix.dirname(path.posix.join('/dir', name)), '/dir');
      assert.equal(path.win32.dirname(path.win32.join('D:\\dir', name)), 'D:\\dir');
      assert.equal(savedFileName(name), name, 'saving what was saved changes nothing');
    }),
    { seed, numRuns: 5000 },
  );
});

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
