import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeCodes } from '@backhaul/protocol';
import { FakeConnection, sampleToken } from '../fakes/fake-agent.ts';
import type { AgentSession } from './agent-session.ts';
import { SessionRegistry } from './session-registry.ts';

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
    canResume: true,
    leavesEmpty: true,
    takesLimits: true,
    listsPages: true,
    keepsTokens: true,
    send: (message) => connection.send(message),
    close: (code, reason) => connection.close(code, reason),
  };
}

test('the newest session of a client wins, and its elder is closed', () => {
  const registry = new SessionRegistry();
  const [elder, younger] = [session(1), session(2)];
  assert.equal(registry.add(elder), true);
  assert.equal(registry.add(younger), true);
  assert.equal(registry.newest('client-1'), younger);
  assert.equal(elder.connection.closes[0]?.code, closeCodes.replaced);
  assert.deepEqual(younger.connection.closes, []);
});

test('an elder that comes later is turned away', () => {
  const registry = new SessionRegistry();
  const [elder, younger] = [session(1), session(2)];
  registry.add(younger);
  assert.equal(registry.add(elder), false);
  assert.equal(registry.newest('client-1'), younger);
  assert.deepEqual(younger.connection.closes, []);
});

test('a session removes only itself', () => {
  const registry = new SessionRegistry();
  const [elder, younger] = [session(1), session(2)];
  registry.add(elder);
  registry.add(younger);
  registry.remove(elder);
  assert.equal(registry.newest('client-1'), younger);
  registry.remove(younger);
  registry.remove(younger);
  assert.equal(registry.newest('client-1'), undefined);
});

test('clients do not get in each other’s way', () => {
  const registry = new SessionRegistry();
  const [one, other] = [session(5, 'client-1'), session(1, 'client-2')];
  registry.add(one);
  registry.add(other);
  assert.equal(registry.size, 2);
  assert.equal(registry.newest('client-1'), one);
  assert.deepEqual(one.connection.closes, []);
});

test('a session can be sent something only once it was welcomed', () => {
  const registry = new SessionRegistry();
  const [elder, younger] = [session(1), session(2)];
  registry.add(elder);
  assert.equal(registry.get('client-1'), undefined);
  registry.welcomed(elder);
  assert.equal(registry.get('client-1'), elder);
  registry.add(younger);
  assert.equal(registry.get('client-1'), undefined, 'the welcome was the elder’s alone');
  registry.welcomed(elder);
  assert.equal(registry.get('client-1'), undefined, 'and one that comes late is, too');
  registry.welcomed(younger);
  assert.equal(registry.get('client-1'), younger);
});
