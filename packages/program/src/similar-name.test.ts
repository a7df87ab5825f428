import assert from 'node:assert/strict';
import { test } from 'node:test';
import { similarName } from './similar-name.ts';

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
