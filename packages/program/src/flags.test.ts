import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlagError, readFlags, similarName } from './flags.ts';

const options = {
  port: { type: 'string' },
  host: { type: 'string' },
  allow: { type: 'string', multiple: true },
  quiet: { type: 'boolean' },
} as const;
const read = (line: string) => readFlags(line.split(' '), { program: 'thing', options });

test('a repeated flag is refused if it takes one value, and collects all values if it takes several', () => {
  assert.deepEqual(
    { ...read('--allow /a --port 1 --allow /b --quiet --quiet') },
    {
      allow: ['/a', '/b'],
      port: '1',
      quiet: true,
    },
  );
  for (const line of ['--port 1 --port 2', '--port=1 --port 1']) {
    assert.throws(() => read(line), new FlagError('--port is given twice, but takes only one value.'));
  }
});

test('the error for an unknown flag suggests a similar one', () => {
  assert.throws(
    () => read('--prot 1'),
    /^FlagError: --prot is not a flag of thing: did you mean --port; see --help\.$/,
  );
  assert.throws(() => read('--secret s3cr3t'), /^FlagError: --secret is not a flag of thing; see --help\.$/);
  assert.throws(() => read('--port'), /--port <value>' argument missing See thing --help\.$/);
  assert.throws(() => read('stray'), /stray/);
});

test('a typing error, a prefix and swapped letters find the name', () => {
  const machines = ['r001', 'r002', 'lab-7', 'restaurant-1'];
  assert.equal(similarName('r0001', machines), 'r001');
  assert.equal(similarName('restuarant-1', machines), 'restaurant-1');
  assert.equal(similarName('rest', machines), 'restaurant-1');
  assert.equal(similarName('--prot', ['--port', '--protocol', '--host']), '--protocol');
  assert.equal(similarName('--prto', ['--port', '--host']), '--port');
});

test('a name similar to none or to several finds nothing', () => {
  assert.equal(similarName('r003', ['r001', 'r002']), undefined);
  assert.equal(similarName('r', ['r001', 'r002']), undefined);
  assert.equal(similarName('x', ['y']), undefined);
  assert.equal(similarName('till', ['lab-7']), undefined);
  assert.equal(similarName('', ['a']), undefined);
});
