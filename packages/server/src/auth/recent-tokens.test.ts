import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentTokens } from './recent-tokens.ts';

const START = 1_760_000_000_000;
const MINUTE_MS = 60_000;

/** Valid tokens unless they start with `bad`, and a log of the checks. */
function setUp({ expiresAt = START + 10 * MINUTE_MS } = {}) {
  let now = START;
  const checks: string[] = [];
  const tokens = new RecentTokens(
    async (token) => {
      checks.push(token);
      if (token.startsWith('bad')) throw new Error(`${token} is not good`);
      return { sub: token, exp: expiresAt / 1000 };
    },
    { now: () => now, elapsed: () => now },
  );
  return { tokens, checks, pass: (ms: number) => (now += ms) };
}

test('a valid token is checked once a minute, also with concurrent requests', async () => {
  const { tokens, checks, pass } = setUp();
  const claims = await Promise.all([tokens.verify('a'), tokens.verify('a'), tokens.verify('b')]);
  assert.deepEqual(
    claims.map(({ sub }) => sub),
    ['a', 'a', 'b'],
  );
  pass(MINUTE_MS - 1);
  assert.equal((await tokens.verify('a')).sub, 'a');
  assert.deepEqual(checks, ['a', 'b']);
  pass(1);
  await tokens.verify('a');
  assert.deepEqual(checks, ['a', 'b', 'a']);
});

test('a token is not remembered beyond its expiry', async () => {
  const { tokens, checks, pass } = setUp({ expiresAt: START + 1000 });
  await tokens.verify('a');
  pass(999);
  await tokens.verify('a');
  assert.equal(checks.length, 1);
  pass(1);
  await tokens.verify('a');
  assert.equal(checks.length, 2);
});

test('a refusal is not remembered and does not affect other tokens', async () => {
  const { tokens, checks } = setUp();
  await tokens.verify('a');
  for (let round = 0; round < 2; round += 1) await assert.rejects(tokens.verify('bad'), /bad is not good/);
  await tokens.verify('a');
  assert.deepEqual(checks, ['a', 'bad', 'bad']);
});

test('the number of remembered tokens is limited, and the oldest is dropped first', async () => {
  const { tokens, checks } = setUp();
  for (let index = 0; index <= 1000; index += 1) await tokens.verify(`token-${index}`);
  await tokens.verify('token-1');
  assert.equal(checks.length, 1001);
  await tokens.verify('token-0');
  assert.equal(checks.length, 1002);
});
