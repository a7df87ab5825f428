import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { agentClaimsSchema, operatorClaimsSchema, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { jwtVerify } from 'jose';
import { runCli } from '../../../../test/harness/cli/run-cli.ts';
import { mintToken } from './token.ts';

const SECRET = 'a secret that is long enough for HS256';
const key = new TextEncoder().encode(SECRET);
const env = { JWT_SECRET: SECRET };
const secret = { value: SECRET, source: 'JWT_SECRET' };

async function verify(token: string, kind: keyof typeof tokenKinds) {
  const { audience, type: typ } = tokenKinds[kind];
  return await jwtVerify(token, key, { issuer: TOKEN_ISSUER, audience, typ, algorithms: ['HS256'] });
}

describe('token', { concurrency: 4 }, () => {
  test('agent prints only a token, valid for a year', async () => {
    const { code, stdout, stderr } = await runCli(['token', 'agent', '--client-id', 'restaurant-1'], { env });
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const claims = agentClaimsSchema.parse((await verify(stdout.trim(), 'agent')).payload);
    assert.equal(claims.sub, 'restaurant-1');
    assert.equal(claims.exp - claims.iat, 365 * 86_400);
    await assert.rejects(
      verify(stdout.trim(), 'operator'),
      'a token of one kind is never accepted as the other',
    );
  });

  test('operator has the scopes read, content and trigger by default, for 12 hours', async () => {
    const { stdout } = await runCli(['token', 'operator'], { env });
    const claims = operatorClaimsSchema.parse((await verify(stdout.trim(), 'operator')).payload);
    assert.deepEqual(claims.scope, ['read', 'content', 'trigger']);
    assert.equal(claims.scope_version, 2);
    assert.equal(claims.sub, 'operator');
    assert.equal(claims.exp - claims.iat, 12 * 3600);
  });

  test('operator takes scopes, subject and lifetime', async () => {
    const args = ['token', 'operator', '--scope', 'admin,read', '--subject', 'ops', '--ttl', '30d', '--json'];
    const { stdout } = await runCli(args, { env });
    const { token } = JSON.parse(stdout) as { token: string };
    const claims = operatorClaimsSchema.parse((await verify(token, 'operator')).payload);
    assert.deepEqual(claims.scope, ['admin', 'read']);
    assert.equal(claims.sub, 'ops');
    assert.equal(claims.exp - claims.iat, 30 * 86_400);
  });

  test('with a short secret exits with 2, names JWT_SECRET and does not show it', async () => {
    const { code, stdout, stderr } = await runCli(['token', 'operator'], { env: { JWT_SECRET: 'hunter2' } });
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /JWT_SECRET.*7 bytes.*at least 32/);
    assert.ok(!stderr.includes('hunter2'));
  });

  test('with a lifetime above the maximum exits with 2 and names --ttl', async () => {
    for (const args of [
      ['operator', '--ttl', '32d'],
      ['agent', '--client-id', 'a', '--ttl', '367d'],
    ]) {
      const { code, stderr } = await runCli(['token', ...args], { env });
      assert.equal(code, 2);
      assert.match(stderr, /--ttl/);
    }
  });
});

test('the maximum lifetime and the minimum length of the secret are accepted', async () => {
  const { maxAgeSeconds } = tokenKinds.operator;
  const request = { kind: 'operator', subject: 'ops', scopes: ['read'] } as const;
  const shortest = { value: 'x'.repeat(32), source: 'JWT_SECRET' };
  await mintToken({ ...request, ttlSeconds: maxAgeSeconds }, shortest, Date.now());
  await assert.rejects(mintToken({ ...request, ttlSeconds: maxAgeSeconds + 1 }, secret, Date.now()));
});
