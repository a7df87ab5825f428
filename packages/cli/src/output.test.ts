import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wantsColor } from './config.ts';
import { Output, renderFields, renderTable } from './output.ts';

const terminal = { isTTY: true, write: () => true };
const pipe = { write: () => true };

test('colour is used only on terminals and only if allowed', () => {
  const painted = (stdout: typeof pipe, color: boolean) =>
    new Output({ stdout, stderr: pipe, json: false, color }).paint('red', 'x');
  assert.equal(painted(terminal, true), '\u001b[31mx\u001b[39m');
  assert.equal(painted(terminal, false), 'x');
  assert.equal(painted(pipe, true), 'x');
});

test('NO_COLOR and a dumb terminal disable colour; an empty NO_COLOR does not', () => {
  assert.equal(wantsColor({ NO_COLOR: '1' }), false);
  assert.equal(wantsColor({ TERM: 'dumb' }), false);
  assert.equal(wantsColor({ NO_COLOR: '', TERM: 'xterm' }), true);
});

test('JSON contains no control characters and has the same value', () => {
  let written = '';
  const stdout = { write: (text: string | Uint8Array) => ((written += String(text)), true) };
  const value = { file_name: 'a\u001b[2J\u009b2J\u202eb\u200f\u061c\u2028' };
  new Output({ stdout, stderr: pipe, json: true, color: false }).value(value);
  assert.match(written.trimEnd(), /^[\x20-\x7e]*$/);
  assert.deepEqual(JSON.parse(written), value);
});

test('columns are as wide as their widest cell, not counting colour', () => {
  const rows = [
    { name: 'a', size: '5 B' },
    { name: 'longer', size: '104.9 MB' },
  ];
  const lines = renderTable(rows, [
    { title: 'NAME', value: ({ name }) => name, paint: (text) => `<${text}>` },
    { title: 'SIZE', align: 'right', value: ({ size }) => size },
  ]);
  assert.deepEqual(lines, ['NAME        SIZE', '<a     >       5 B', '<longer>  104.9 MB']);
});

test('an empty table consists of its titles', () => {
  assert.deepEqual(renderTable([], [{ title: 'NAME', value: () => '' }]), ['NAME']);
});

test('values of fields are aligned', () => {
  assert.deepEqual(
    renderFields([
      ['a', '1'],
      ['long', '2\u0007'],
      ['', '3'],
    ]),
    ['a     1', 'long  2\\u0007', '      3'],
  );
});
