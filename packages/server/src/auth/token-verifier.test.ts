import assert from 'node:assert/strict';
import { createPublicKey, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { BackhaulError, TOKEN_ISSUER, type TokenKind, tokenKinds } from '@backhaul/protocol';
import { SignJWT, UnsecuredJWT } from 'jose';
import { publicKeys, secretKeys } from './token-keys.ts';
import { signDevToken } from './token-signing.ts';
import { TokenVerifier } from './token-verifier.ts';

const secret = 'a-secret-of-more-than-thirty-two-bytes';
const now = 1_760_000_000;
const clock = { now: () => now * 1000 };
const day = 86_400;

interface TokenParts {
  readonly kind?: TokenKind;
  readonly header?: Record<string, unknown>;
  /** A claim of undefined is left out. */
  readonly claims?: Record<string, unknown>;
  readonly key?: KeyObject | Uint8Array;
}

function sign({ kind = 'agent', header, claims, key = createSecretKey(secret, 'utf8') }: TokenParts = {}) {
  const { audience, type } = tokenKinds[kind];
  const subject = kind === 'agent' ? { sub: 'restaurant-1' } : { sub: 'ops', scope: 'read trigger' };
  const payload = { iss: TOKEN_ISSUER, aud: audience, iat: now - 60, exp: now + day, ...subject, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', typ: type, ...header }).sign(key);
}

const verifier = new TokenVerifier(secretKeys(secret), clock);

async function refusal(token: string, kind: TokenKind = 'agent', by = verifier): Promise<string> {
  try {
    await by.verify(kind, token);
  } catch (error) {
    assert.ok(error instanceof BackhaulError, String(error));
    assert.equal(error.code, 'unauthorized');
    for (const piece of token.split('.').filter((text) => text.length > 8)) {
      assert.ok(!error.message.includes(piece), 'the message repeats a piece of the token');
    }
    assert.equal(error.cause, undefined);
    return error.message;
  }
  return assert.fail('the token was accepted');
}

test('an agent’s token identifies the client', async () => {
  assert.deepEqual(await verifier.verify('agent', await sign()), {
    sub: 'restaurant-1',
    iat: now - 60,
    exp: now + day,
    isOfPreviousSecret: false,
  });
});

test('an operator’s token identifies the operator and the scopes', async () => {
  const { sub, scope } = await verifier.verify('operator', await sign({ kind: 'operator' }));
  assert.deepEqual({ sub, scope }, { sub: 'ops', scope: ['read', 'trigger'] });
});

test('during a change of secrets tokens of both are accepted, and those of the previous one are marked', async () => {
  const next = 'another-secret-of-more-than-thirty-two-bytes';
  const changing = new TokenVerifier({ ...secretKeys(next), previous: secretKeys(secret) }, clock);
  const old = await changing.verify('agent', await sign());
  assert.deepEqual([old.sub, old.isOfPreviousSecret], ['restaurant-1', true]);
  const fresh = await changing.verify('agent', await sign({ key: createSecretKey(next, 'utf8') }));
  assert.deepEqual([fresh.sub, fresh.isOfPreviousSecret], ['restaurant-1', false]);
  const foreign = createSecretKey('a-third-secret-of-more-than-thirty-two-bytes', 'utf8');
  assert.match(await refusal(await sign({ key: foreign }), 'agent', changing), /signed with another key/);
  assert.match(await refusal(await sign({ claims: { exp: now - 31 } }), 'agent', changing), /expired on/);
  assert.match(
    await refusal(await sign(), 'agent', new TokenVerifier(secretKeys(next), clock)),
    /another key/,
  );
});

test('another issuer’s scopes may be a list in another claim, and unknown scopes are ignored', async () => {
  const rules = {
    issuer: 'https://id.example.com',
    audience: { agent: 'agents', operator: 'api' },
    type: { agent: null, operator: 'JWT' },
    scopeClaim: 'permissions',
  };
  const foreign = new TokenVerifier(secretKeys(secret), clock, rules);
  const claims = { iss: rules.issuer, aud: 'api', scope: 'admin', permissions: ['read', 'files:write', 7] };
  const token = await sign({ kind: 'operator', header: { typ: 'JWT' }, claims });
  assert.deepEqual((await foreign.verify('operator', token)).scope, ['read']);
  assert.match(await refusal(token, 'agent', foreign), /"aud"/);
  assert.match(await refusal(token, 'operator'), /has the wrong "(iss|aud|typ)"/);
  const ownType = await sign({ kind: 'operator', claims });
  assert.match(await refusal(ownType, 'operator', foreign), /"typ"/);
});

test('neither kind of token is accepted as the other', async () => {
  assert.match(await refusal(await sign({ kind: 'operator' }), 'agent'), /a token for an agent is needed/);
  assert.match(await refusal(await sign({ kind: 'agent' }), 'operator'), /a token for an operator is needed/);
});

test('another audience is refused even if everything else matches', async () => {
  assert.match(await refusal(await sign({ claims: { aud: 'backhaul-operator' } })), /"aud"/);
});

test('another type is refused even if everything else matches', async () => {
  assert.match(await refusal(await sign({ header: { typ: 'JWT' } })), /"typ"/);
  assert.match(await refusal(await sign({ header: { typ: undefined } })), /"typ"/);
});

test('another issuer is refused', async () => {
  assert.match(await refusal(await sign({ claims: { iss: 'somebody' } })), /"iss"/);
});

for (const claim of ['sub', 'iat', 'exp', 'aud', 'iss']) {
  test(`a token without ${claim} is refused`, async () => {
    assert.match(
      await refusal(await sign({ claims: { [claim]: undefined } })),
      new RegExp(`lacks the claim "${claim}"`),
    );
  });
}

test('an expired token is refused after the clock tolerance', async () => {
  await verifier.verify('agent', await sign({ claims: { exp: now - 29 } }));
  assert.match(
    await refusal(await sign({ claims: { exp: now - 31 } })),
    /The token expired on 2025-10-09T08:52:49\.000Z\./,
  );
});

test('a token from the future is refused', async () => {
  await verifier.verify('agent', await sign({ claims: { iat: now + 29 } }));
  assert.match(await refusal(await sign({ claims: { iat: now + 120 } })), /from the future/);
  assert.match(await refusal(await sign({ claims: { nbf: now + 120 } })), /from the future/);
});

for (const kind of ['agent', 'operator'] as const) {
  const { maxAgeSeconds } = tokenKinds[kind];

  test(`a token for an ${kind} that is too old is refused, whatever its exp`, async () => {
    const old = await sign({ kind, claims: { iat: now - maxAgeSeconds - 31, exp: now + 9_000 * day } });
    assert.match(await refusal(old, kind), /exceeds the maximum age of/);
  });

  test(`the exp of a token for an ${kind} is limited by its maximum age`, async () => {
    const endless = await sign({ kind, claims: { iat: now, exp: now + 9_000 * day } });
    assert.equal((await verifier.verify(kind, endless)).exp, now + maxAgeSeconds);
  });
}

test('a token signed with another secret is refused', async () => {
  const key = createSecretKey(`${secret}!`, 'utf8');
  assert.match(await refusal(await sign({ key })), /another key/);
});

test('an unsigned token is refused', async () => {
  const token = new UnsecuredJWT({ sub: 'restaurant-1' })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(tokenKinds.agent.audience)
    .setIssuedAt(now)
    .setExpirationTime(now + day)
    .encode();
  assert.match(await refusal(token), /not accepted|not a signed/);
});

test('an HMAC other than HS256 is refused', async () => {
  const key = createSecretKey(secret.repeat(2), 'utf8');
  const sameSecret = new TokenVerifier(secretKeys(secret.repeat(2)), clock);
  const token = await sign({ header: { alg: 'HS512' }, key });
  assert.match(await refusal(token, 'agent', sameSecret), /algorithm/);
});

test('a public key used as an HMAC secret is refused', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const rsa = new TokenVerifier(publicKeys('key.pem', pem), clock);
  await rsa.verify('agent', await sign({ header: { alg: 'RS256' }, key: privateKey }));
  for (const bytes of [pem, pem.trim(), publicKey.export({ type: 'spki', format: 'der' })]) {
    const forged = await sign({ key: new Uint8Array(Buffer.from(bytes)) });
    assert.match(await refusal(forged, 'agent', rsa), /algorithm/);
  }
});

for (const [algorithm, pair] of [
  ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['EdDSA', generateKeyPairSync('ed25519')],
] as const) {
  test(`${algorithm} tokens are verified with a public key, and those of another key are refused`, async () => {
    const pem = createPublicKey(pair.privateKey).export({ type: 'spki', format: 'pem' }).toString();
    const byPublicKey = new TokenVerifier(publicKeys('key.pem', pem), clock);
    const token = await sign({ header: { alg: algorithm }, key: pair.privateKey });
    assert.equal((await byPublicKey.verify('agent', token)).sub, 'restaurant-1');
    assert.match(await refusal(await sign(), 'agent', byPublicKey), /algorithm/);
  });
}

test('text that is not a token is refused', async () => {
  const token = await sign();
  const [head = '', body = '', signature = ''] = token.split('.');
  for (const garbage of [
    '',
    'x',
    '..',
    'a.b.c',
    'null',
    `${head}.${body}`,
    `${token}.x`,
    `${head}.${body}.`,
    '\u0000.é.☃',
  ]) {
    await refusal(garbage);
  }
  const forged = Buffer.from(JSON.stringify({ sub: 'restaurant-2' })).toString('base64url');
  assert.match(await refusal(`${head}.${forged}.${signature}`), /another key/);
});

test('a token longer than 8 KiB is refused, one just below is not', async () => {
  const ofLength = (length: number) => sign({ claims: { padding: 'x'.repeat(length) } });
  await verifier.verify('agent', await ofLength(5_500));
  assert.match(await refusal(await ofLength(6_500)), /longer than 8 KiB/);
});

for (const sub of ['', '.hidden', '../other', 'a/b', 'a b', 'x'.repeat(65), 7]) {
  test(`an agent whose subject is ${JSON.stringify(sub)} is refused`, async () => {
    assert.match(await refusal(await sign({ claims: { sub } })), /"sub"/);
  });
}

for (const scope of [undefined, '', 'everything', 'read,trigger', ['read']]) {
  test(`an operator whose scope is ${JSON.stringify(scope)} is refused`, async () => {
    assert.match(await refusal(await sign({ kind: 'operator', claims: { scope } }), 'operator'), /"scope"/);
  });
}

test('the dev mode token has every scope, the maximum lifetime, and is valid for no other secret', async () => {
  const token = await signDevToken(secret, clock);
  assert.deepEqual(await verifier.verify('operator', token), {
    sub: 'dev',
    scope: ['read', 'content', 'trigger', 'metrics', 'audit', 'admin'],
    scope_version: 2,
    iat: now,
    exp: now + tokenKinds.operator.maxAgeSeconds,
    isOfPreviousSecret: false,
  });
  assert.match(await refusal(token, 'agent'), /agent is needed/);
  assert.match(
    await refusal(token, 'operator', new TokenVerifier(secretKeys(`${secret}!`), clock)),
    /another key/,
  );
});
