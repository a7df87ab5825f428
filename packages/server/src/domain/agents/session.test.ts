import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { FakeConnection, sampleToken } from '../../../../../test/doubles/fake-agent.ts';
import { type AgentSession, SessionRegistry } from './session.ts';

function session(
  epoch: number,
  clientId = 'client-1',
): AgentSession & { readonly connection: FakeConnection } {
  const connection = new FakeConnection(clientId);
  return {
    connection,
    clientId,
    sessionId: connection.sessionId,
    epoch,
    token: sampleToken,
    hostId: null,
    maxUploads: 1,
    agentVersion: '1.2.3',
    capabilities: new Set(),
    send: (message) => connection.send(message),
    close: (code, reason) => connection.close(code, reason),
  };
}

test('the newest session of a client wins, and the previous one is closed', () => {
  const registry = new SessionRegistry();
  const [previous, younger] = [session(1), session(2)];
  assert.equal(registry.add(previous), true);
  assert.equal(registry.add(younger), true);
  assert.equal(registry.newest('client-1'), younger);
  assert.equal(previous.connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(younger.connection.closes, []);
});

test('an older session that arrives later is rejected', () => {
  const registry = new SessionRegistry();
  const [previous, younger] = [session(1), session(2)];
  registry.add(younger);
  assert.equal(registry.add(previous), false);
  assert.equal(registry.newest('client-1'), younger);
  assert.deepEqual(younger.connection.closes, []);
});

test('a session removes only itself', () => {
  const registry = new SessionRegistry();
  const [previous, younger] = [session(1), session(2)];
  registry.add(previous);
  registry.add(younger);
  registry.remove(previous);
  assert.equal(registry.newest('client-1'), younger);
  registry.remove(younger);
  registry.remove(younger);
  assert.equal(registry.newest('client-1'), undefined);
});

test('clients do not affect each other', () => {
  const registry = new SessionRegistry();
  const [one, other] = [session(5, 'client-1'), session(1, 'client-2')];
  registry.add(one);
  registry.add(other);
  assert.equal(registry.size, 2);
  assert.equal(registry.newest('client-1'), one);
  assert.deepEqual(one.connection.closes, []);
});

test('a session accepts messages only after its welcome', () => {
  const registry = new SessionRegistry();
  const [previous, younger] = [session(1), session(2)];
  registry.add(previous);
  assert.equal(registry.get('client-1'), undefined);
  registry.welcomed(previous);
  assert.equal(registry.get('client-1'), previous);
  registry.add(younger);
  assert.equal(registry.get('client-1'), undefined, 'only the previous session was welcomed');
  registry.welcomed(previous);
  assert.equal(
    registry.get('client-1'),
    undefined,
    'a late welcome also counts only for the previous session',
  );
  registry.welcomed(younger);
  assert.equal(registry.get('client-1'), younger);
});
