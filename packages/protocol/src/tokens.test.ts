import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { agentClaimsSchema, operatorClaimsSchema, tokenKinds } from './tokens.ts';

const lifetime = { iat: 1_761_992_400, exp: 1_761_996_000 };

test('tokens of agents and operators cannot be confused', () => {
  assert.notEqual(tokenKinds.agent.audience, tokenKinds.operator.audience);
  assert.notEqual(tokenKinds.agent.type, tokenKinds.operator.type);
});

test("an agent's subject is a client_id", () => {
  assert.ok(agentClaimsSchema.safeParse({ sub: 'restaurant-1', ...lifetime }).success);
  assert.ok(!agentClaimsSchema.safeParse({ sub: '../restaurant-1', ...lifetime }).success);
});

test('a token without expiry is refused', () => {
  assert.ok(!agentClaimsSchema.safeParse({ sub: 'restaurant-1', iat: lifetime.iat }).success);
  assert.ok(!operatorClaimsSchema.safeParse({ sub: 'ops', scope: 'read', iat: lifetime.iat }).success);
});

describe('scopes', () => {
  test('are separated by spaces', () => {
    assert.deepEqual(
      operatorClaimsSchema.parse({ sub: 'ops', scope: ' read  trigger ', ...lifetime }).scope,
      ['read', 'trigger'],
    );
  });

  test('must be known, and at least one is required', () => {
    for (const scope of ['', ' ', 'read,trigger', 'read root', 'READ']) {
      assert.ok(!operatorClaimsSchema.safeParse({ sub: 'ops', scope, ...lifetime }).success, scope);
    }
  });
});
