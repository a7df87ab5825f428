import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderFields, renderTable } from './table.ts';

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
