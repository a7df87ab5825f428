import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopbackHost } from './loopback-host.ts';

test('loopback names and addresses are recognised, similar ones are not', () => {
  const hosts = (...names: string[]) => names.map((name) => new URL(`http://${name}/`).hostname);
  for (const own of hosts(
    'localhost',
    'LOCALHOST.',
    'a.localhost',
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '[::1]',
  )) {
    assert.ok(isLoopbackHost(own), own);
  }
  assert.ok(isLoopbackHost(new URL('http://[::ffff:127.0.0.1]/').hostname));
  for (const other of hosts(
    'localhost.example.com',
    '127.0.0.1.example.com',
    '128.0.0.1',
    '0.0.0.0',
    '[::2]',
    '[::]',
  )) {
    assert.ok(!isLoopbackHost(other), other);
  }
});
