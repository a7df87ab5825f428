import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachment } from './content-disposition.ts';

test('a plain name appears in both forms', () => {
  assert.equal(attachment('report.bin'), `attachment; filename="report.bin"; filename*=UTF-8''report.bin`);
});

test('names in other alphabets are preserved in the extended form', () => {
  assert.equal(
    attachment('Umsätze.csv'),
    `attachment; filename="Ums_tze.csv"; filename*=UTF-8''Ums%C3%A4tze.csv`,
  );
});

test('no character breaks out of the quotes or the header', () => {
  const header = attachment('a"; filename="b\r\nSet-Cookie: x\\%41');
  assert.match(header, /^attachment; filename="[^"\\%\r\n]*"; filename\*=UTF-8''[A-Za-z0-9%._~-]*$/);
});

test('directories and leading dots are removed from a name', () => {
  assert.match(attachment('../../etc/passwd'), /filename="passwd"/);
  assert.match(attachment('.bashrc'), /filename="_bashrc"/);
  assert.match(attachment('C:\\temp\\x.txt'), /filename="x.txt"/);
});

test('bidirectional control characters are removed', () => {
  assert.doesNotMatch(attachment('invoice\u202Efdp.exe'), /%E2%80%AE/);
});

test('long names keep their extension; broken and empty names get a replacement', () => {
  assert.match(attachment(`${'x'.repeat(1000)}.csv`), /filename="x{236}\.csv"/);
  assert.match(attachment('\uD800.txt'), /\.txt"/);
  assert.match(attachment(''), /filename="file"/);
});
