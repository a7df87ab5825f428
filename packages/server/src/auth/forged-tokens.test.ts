import assert from 'node:assert/strict';
import { type KeyObject, createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { BackhaulError, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { type TokenKeys, publicKeys, secretKeys } from './token-keys.ts';
import { TokenVerifier } from './token-verifier.ts';

/** Attacks on operators' tokens, built by hand: a token library would refuse to create many of these. */

const secret = 'a secret of tests, long enough for HS256';
const now = 1_760_000_000;
const clock = { now: () => now * 1000 };
const { audience, type } = tokenKinds.operator;
const goodHeader = { alg: 'HS256', typ: type };
const goodClaims = {
  ...{ iss: TOKEN_ISSUER, aud: audience, sub: 'ops', scope: 'read trigger admin' },
  ...{ iat: now - 60, exp: now + 3600 },
};
type Signer = (input: string) => Buffer;

const base64 = (data: string | Buffer): string => Buffer.from(data).toString('base64url');
const part = (value: unknown): string => base64(JSON.stringify(value));
const hmac =
  (key: string | Buffer, hash = 'sha256'): Signer =>
  (input) =>
    createHmac(hash, key).update(input).digest();

function token(header: object, claims: object, signer: Signer = hmac(secret)): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${base64(signer(input))}`;
}
const withHeader = (header: object, signer?: Signer): string =>
  token({ ...goodHeader, ...header }, goodClaims, signer);
const withClaims = (claims: object): string => token(goodHeader, { ...goodClaims, ...claims });

async function refused(keys: TokenKeys, forgeries: Readonly<Record<string, string>>): Promise<number> {
  const verifier = new TokenVerifier(keys, clock);
  for (const [what, forged] of Object.entries(forgeries)) {
    await assert.rejects(
      verifier.verify('operator', forged),
      (error) => error instanceof BackhaulError && error.code === 'unauthorized',
      what,
    );
  }
  return Object.keys(forgeries).length;
}

test('forged operator tokens of 61 kinds and more are refused', async (t) => {
  const good = withHeader({});
  await new TokenVerifier(secretKeys(secret), clock).verify('operator', good);
  const [header = '', claims = '', signature = ''] = good.split('.');
  const more = part({ ...goodClaims, sub: 'root' });
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ownJwk = own.publicKey.export({ format: 'jwk' });
  const signedByOwn: Signer = (input) =>
    sign('sha256', Buffer.from(input), { key: own.privateKey, dsaEncoding: 'ieee-p1363' });
  const forgeries: Record<string, string> = {};
  const add = (what: string, forged: string): void => void (forgeries[what] = forged);

  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    ' HS256',
    'hs256',
    'HS256 ',
    null,
    0,
    true,
    ['HS256'],
  ]) {
    add(`alg ${JSON.stringify(alg)}, without a signature`, `${part({ ...goodHeader, alg })}.${claims}.`);
    add(`alg ${JSON.stringify(alg)}, signed`, withHeader({ alg }));
  }
  add('no alg', token({ typ: type }, goodClaims));
  for (const [alg, hash] of [
    ['HS384', 'sha384'],
    ['HS512', 'sha512'],
  ] as const) {
    add(`${alg} with the right secret`, withHeader({ alg }, hmac(secret, hash)));
  }
  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA', 'A128KW', 'dir']) {
    add(`${alg} with the right secret`, withHeader({ alg }));
  }
  add('a key of its own in jwk', withHeader({ alg: 'ES256', jwk: ownJwk }, signedByOwn));
  add('an address of keys in jku', withHeader({ alg: 'ES256', jku: 'https://x.test/keys' }, signedByOwn));
  add(
    'an address of a certificate in x5u',
    withHeader({ alg: 'ES256', x5u: 'https://x.test/' }, signedByOwn),
  );
  add('an unknown extension in crit', withHeader({ crit: ['x'], x: 1 }));
  add('an empty crit', withHeader({ crit: [] }));
  add('b64 false', withHeader({ crit: ['b64'], b64: false }));
  for (const typ of ['JWT', 'backhaul-agent+jwt', '', null, `${type} `]) {
    add(`typ ${JSON.stringify(typ)}`, withHeader({ typ }));
  }
  for (const key of ['', 'secret', `${secret} `, secret.toUpperCase(), 'null', '\0'.repeat(32)]) {
    add(`the secret ${JSON.stringify(key)}`, withHeader({}, hmac(key)));
  }
  add('no signature', `${header}.${claims}.`);
  add('half a signature', `${header}.${claims}.${signature.slice(0, 20)}`);
  add('a longer signature', `${header}.${claims}.${signature}AAAA`);
  add('other claims under the signature', `${header}.${more}.${signature}`);
  add('another header under the signature', `${part({ ...goodHeader, kid: 'x' })}.${claims}.${signature}`);
  add('two parts', `${header}.${claims}`);
  add('four parts', `${good}.`);
  add('five parts', `${header}.${claims}.${signature}.${claims}.${signature}`);
  add('a part before', `.${good}`);
  add('only dots', '..');
  add('nothing', '');
  add('claims that are a list', token(goodHeader, [goodClaims]));
  add('claims that are no JSON', `${header}.${base64('{')}.${signature}`);
  add('more than 8 KiB', withClaims({ pad: 'x'.repeat(8192) }));
  for (const [name, values] of Object.entries({
    exp: [undefined, null, 0, now - 3600, '9999999999', {}, -1],
    iat: [undefined, null, now + 3600, now - 40 * 86_400, '0', {}],
    nbf: [now + 3600, 'never'],
    iss: [undefined, '', 'somebody', [TOKEN_ISSUER, 'x'], null],
    aud: [undefined, '', 'backhaul-agent', ['backhaul-agent'], [], null],
    sub: [undefined, '', null, 7, ['ops']],
    scope: [undefined, '', null, 'everything', 'READ', ['read', 'admin'], {}],
  })) {
    for (const value of values) add(`${name} ${JSON.stringify(value)}`, withClaims({ [name]: value }));
  }
  const count = await refused(secretKeys(secret), forgeries);
  const next = secretKeys('the secret that replaces it, which is long enough');
  await refused({ ...next, previous: secretKeys(secret) }, forgeries);
  t.diagnostic(`${count} forged tokens`);
  assert.ok(count >= 61, `${count}`);
});

test('a public key is not accepted as a secret, nor a key as another kind: 37 confusions and more', async (t) => {
  const pairs = {
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    ed25519: generateKeyPairSync('ed25519'),
  };
  const ownAlgorithm = { rsa: 'RS256', ec: 'ES256', ed25519: 'EdDSA' };
  let count = 0;
  for (const [kind, { publicKey, privateKey }] of Object.entries(pairs)) {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const keys = publicKeys('key.pem', pem);
    const forgeries: Record<string, string> = {};
    const own = ownAlgorithm[kind as keyof typeof ownAlgorithm];
    await new TokenVerifier(keys, clock).verify(
      'operator',
      withHeader({ alg: own }, signed(own, privateKey)),
    );
    const known = {
      PEM: pem,
      'PEM without the last line end': pem.trimEnd(),
      'PEM on one line': pem.replaceAll('\n', ''),
      DER: publicKey.export({ type: 'spki', format: 'der' }),
      JWK: JSON.stringify(publicKey.export({ format: 'jwk' })),
    };
    for (const [form, key] of Object.entries(known)) {
      for (const [alg, hash] of [
        ['HS256', 'sha256'],
        ['HS384', 'sha384'],
        ['HS512', 'sha512'],
      ] as const) {
        forgeries[`${kind}: ${alg} with its ${form}`] = withHeader({ alg }, hmac(key, hash));
      }
      forgeries[`${kind}: ${own} that is an HMAC with its ${form}`] = withHeader({ alg: own }, hmac(key));
    }
    for (const [other, pair] of Object.entries(pairs)) {
      const alg = ownAlgorithm[other as keyof typeof ownAlgorithm];
      if (other !== kind) {
        forgeries[`${kind}: ${alg} of its own kind`] = withHeader({ alg }, signed(alg, pair.privateKey));
        forgeries[`${kind}: ${own}, signed as ${alg}`] = withHeader(
          { alg: own },
          signed(alg, pair.privateKey),
        );
      }
    }
    forgeries[`${kind}: none`] = `${part({ ...goodHeader, alg: 'none' })}.${part(goodClaims)}.`;
    count += await refused(keys, forgeries);
  }
  // The reverse: tokens that the holder of a key pair sends to a server with a secret.
  const { privateKey } = pairs.rsa;
  count += await refused(secretKeys(secret), {
    RS256: withHeader({ alg: 'RS256' }, signed('RS256', privateKey)),
  });
  t.diagnostic(`${count} confusions`);
  assert.ok(count >= 37, `${count}`);
});

function signed(alg: string, key: KeyObject): Signer {
  return (input) =>
    alg === 'EdDSA'
      ? sign(null, Buffer.from(input), key)
      : sign('sha256', Buffer.from(input), alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key);
}
