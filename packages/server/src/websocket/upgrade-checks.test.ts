import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dnsNamesOf } from './upgrade-checks.ts';

test('only DNS names count, and none from inside a quoted name', () => {
  assert.deepEqual(dnsNamesOf('DNS:till-7, DNS:till-8'), ['till-7', 'till-8']);
  assert.deepEqual(dnsNamesOf('IP Address:127.0.0.1, DNS:till-7, email:a@b'), ['till-7']);
  assert.deepEqual(dnsNamesOf('DNS:"a, DNS:till-7", DNS:b'), ['b']);
  assert.deepEqual(dnsNamesOf('URI:"x\\", DNS:till-7", DNS:b'), ['b']);
  assert.deepEqual(dnsNamesOf('URI:DNS:till-7'), []);
});
