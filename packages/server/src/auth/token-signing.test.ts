import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenKinds } from '@backhaul/protocol';
import { decodeJwt, SignJWT } from 'jose';
import { FakeClock } from '../../../../test/doubles/fake-clock.ts';
import { renewedTokenId } from '../domain/agents/token-chain.ts';
import { secretKeys } from './token-keys.ts';
import { readSessionToken, renewedTokenSigner } from './token-signing.ts';
import { TokenVerifier } from './token-verifier.ts';

const SECRET = 'a secret for tests that is long enough for HS256';
const PREVIOUS = 'the secret before, which is long enough for HS256';
const clock = new FakeClock();
const NOW = clock.now() / 1000;
const verifier = new TokenVerifier({ ...secretKeys(SECRET), previous: secretKeys(PREVIOUS) }, clock);

function given(claims: Record<string, unknown> = {}, secret = SECRET): Promise<string> {
  return new SignJWT({
    iss: 'backhaul',
    aud: 'backhaul-agent',
    sub: 'till-7',
    iat: NOW,
    exp: NOW + 3600,
    ...claims,
  })
    .setProtectedHeader({ alg: 'HS256', typ: tokenKinds.agent.type })
    .sign(new TextEncoder().encode(secret));
}

async function read(token: string) {
  return readSessionToken(token, await verifier.verify('agent', token));
}

const record = {
  tokenId: renewedTokenId('019ab3c2-5f00-7000-8000-000000000001'),
  issuedAt: NOW * 1000 - 60_000,
  expiresAt: NOW * 1000 + 3_540_000,
};

test('a renewed token is accepted, identified by its record, and signed with the current secret', async () => {
  const before = await read(await given({ nbf: NOW - 5, jti: 'x', site: 'berlin' }, PREVIOUS));
  assert.deepEqual(before.isOfPreviousSecret, true);
  const token = await renewedTokenSigner(SECRET)(record, before.claims);
  assert.deepEqual(await read(token), {
    id: record.tokenId,
    issuedAt: record.issuedAt,
    expiresAt: record.expiresAt,
    isOfPreviousSecret: false,
    claims: { iss: 'backhaul', aud: 'backhaul-agent', sub: 'till-7', site: 'berlin' },
  });
  assert.equal(decodeJwt(token).nbf, undefined);
});

test('the same record gives the same token at any time', async () => {
  const { claims } = await read(await given());
  const sign = renewedTokenSigner(SECRET);
  assert.equal(await sign(record, claims), await sign(record, claims));
});

test('an operator’s token is identified by a hash of its signed content, never by an id that may repeat', async () => {
  const [one, other] = [await given({ jti: 'always' }), await given({ jti: 'always', site: 'berlin' })];
  const [first, second] = [await read(one), await read(other)];
  assert.notEqual(first.id, second.id);
  assert.match(first.id, /^[\w-]{43}$/);
  assert.ok(!one.includes(first.id));
  // The last character of 32 bytes in base64url has two unused bits.
  const last = one.at(-1) ?? '';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const respelled = one.slice(0, -1) + (alphabet[alphabet.indexOf(last) ^ 1] ?? '');
  assert.equal((await read(respelled)).id, first.id, 'however its signature is spelled');
});
