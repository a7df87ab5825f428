import assert from 'node:assert/strict';
import { test } from 'node:test';
import { safeFileName } from './safe-file-name.ts';

const name = (file_name: string) => safeFileName({ file_name, upload_id: 'ID' });

test('ordinary names stay as they are', () => {
  for (const file of ['report.bin', 'Größe 文件.txt', 'a (1).tar.gz', '_x']) assert.equal(name(file), file);
});

test('no name leads out of the directory or hides in it', () => {
  assert.equal(name('../../etc/passwd'), 'passwd');
  assert.equal(name('C:\\windows\\evil.exe'), 'evil.exe');
  assert.equal(name('.bashrc'), '_bashrc');
  for (const nothing of ['', '.', '..', '/', 'a/', '...']) assert.equal(name(nothing), 'ID', nothing);
});

test('what a system cannot have or a terminal would obey becomes harmless', () => {
  assert.equal(name('a:b?\u001b[2J\n.txt'), 'a_b__[2J_.txt');
  assert.equal(name('CON'), '_CON');
  assert.equal(name('nul.txt'), '_nul.txt');
  assert.equal(name('trailing. . '), 'trailing');
});

test('long names are cut between characters', () => {
  const long = name('文'.repeat(200));
  assert.equal(long, '文'.repeat(66));
  assert.ok(Buffer.byteLength(long) <= 200);
});
