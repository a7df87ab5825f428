import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionLimits } from './connection-limits.ts';

const unset = { connections: null, unauthenticated: null, unauthenticatedPerAddress: null };

test('with few descriptors some are reserved for the database and the object store, and most are for agents', () => {
  assert.deepEqual(connectionLimits(unset, 1024), {
    connections: 896,
    unauthenticated: 448,
    unauthenticatedPerAddress: 224,
  });
  assert.equal(connectionLimits(unset, 100).connections, 50);
});

test('with many descriptors, or an unknown number, unauthenticated connections are still limited', () => {
  const plenty = { unauthenticated: 2048, unauthenticatedPerAddress: 1024 };
  assert.deepEqual(connectionLimits(unset, 1_048_576), { connections: 1_048_448, ...plenty });
  assert.deepEqual(connectionLimits({ ...unset, connections: 0 }, 1024), { connections: 0, ...plenty });
});

test('configured limits are used unchanged', () => {
  const set = { connections: 10, unauthenticated: 0, unauthenticatedPerAddress: 5000 };
  assert.deepEqual(connectionLimits(set, 1024), set);
});

test('on Linux the process’s own limit is read', { skip: process.platform !== 'linux' }, () => {
  assert.ok(connectionLimits(unset).connections > 0);
});
