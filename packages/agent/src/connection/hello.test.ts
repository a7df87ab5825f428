import assert from 'node:assert/strict';
import test from 'node:test';
import { hostIds } from './hello.ts';

const machine = '0123456789abcdef0123456789abcdef';
const files = (boot: string) => (path: string) => (path === '/etc/machine-id' ? `${machine}\n` : `${boot}\n`);

test('the machine hash is stable, the boot hash changes with each boot, and neither reveals an id', () => {
  const first = hostIds(files('11111111-2222-3333-4444-555555555555'));
  const second = hostIds(files('66666666-2222-3333-4444-555555555555'));
  assert.equal(first?.machine, second?.machine);
  assert.notEqual(first?.boot, second?.boot);
  assert.notEqual(first?.machine, machine);
  // Every later version must send the same hashes.
  assert.deepEqual(first, hostIds(files('11111111-2222-3333-4444-555555555555')));
});

test('without ids nothing is sent', () => {
  assert.equal(
    hostIds(() => assert.fail('no such file')),
    undefined,
  );
  assert.equal(
    hostIds(() => 'uninitialized\n'),
    undefined,
  );
});
