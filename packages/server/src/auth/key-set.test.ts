import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { SignJWT } from 'jose';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { KeySet } from './key-set.ts';
import { keySetKeys } from './token-keys.ts';
import { TokenVerifier } from './token-verifier.ts';

const DAY_MS = 86_400_000;

interface Key {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

function ecKey(kid: string): Key {
  return { kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
}

function tokenOf({ kid, privateKey }: Key): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid, typ: 'backhaul-agent+jwt' })
    .setIssuer('backhaul')
    .setAudience('backhaul-agent')
    .setSubject('till-7')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey);
}

/** A provider whose keys and status the test sets. */
async function startProvider(t: TestContext, keys: Key[]) {
  const provider = { keys, status: 200, requests: 0 };
  const server = createServer((_request, response) => {
    provider.requests += 1;
    const jwks = provider.keys.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid }));
    response.writeHead(provider.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: jwks }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  let now = 0;
  const log = new FakeLog();
  const keySet = new KeySet(`http://127.0.0.1:${port}/jwks`, { maxAgeMs: DAY_MS, log, now: () => now });
  const verifier = new TokenVerifier(keySetKeys(keySet), { now: () => Date.now() });
  return Object.assign(provider, { log, verifier, pass: (ms: number) => (now += ms) });
}

test('a key withdrawn while no tokens arrived is no longer accepted', async (t) => {
  const [old, renewed] = [ecKey('old'), ecKey('renewed')];
  const provider = await startProvider(t, [old]);
  const token = await tokenOf(old);
  await provider.verifier.verify('agent', token);

  provider.keys = [renewed];
  provider.pass(DAY_MS - 3_600_000);
  await assert.rejects(provider.verifier.verify('agent', token), { reason: 'token_signature' });
  await provider.verifier.verify('agent', await tokenOf(renewed));
});

test('concurrent tokens wait for one refresh, and the last set verifies them if it fails', async (t) => {
  const key = ecKey('key');
  const provider = await startProvider(t, [key]);
  const token = await tokenOf(key);
  await provider.verifier.verify('agent', token);
  provider.pass(600_001);
  provider.status = 500;
  await Promise.all([1, 2, 3].map(() => provider.verifier.verify('agent', token)));
  assert.equal(provider.requests, 2);
  const [line, ...others] = provider.log.entries;
  assert.deepEqual(
    [line?.message, others],
    ['the key set at JWT_JWKS_URL cannot be fetched', []],
    'the failure is known before the token is accepted',
  );
  assert.match(JSON.stringify(line?.data), /the copy from \d+ s ago is used/);
});

test('an unusable key of the set refuses the token and is not a server fault', async (t) => {
  const weak = { kid: 'weak', ...generateKeyPairSync('rsa', { modulusLength: 1024 }) };
  const broken = ecKey('broken');
  const provider = await startProvider(t, [weak, broken]);
  // Not a point on the curve.
  broken.publicKey.export = (() => ({ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' })) as never;
  for (const [alg, kid] of [
    ['RS256', 'weak'],
    ['ES256', 'broken'],
  ]) {
    const header = Buffer.from(JSON.stringify({ alg, kid, typ: 'backhaul-agent+jwt' })).toString('base64url');
    const unsigned = `${header}.${Buffer.from('{}').toString('base64url')}.c2lnbmF0dXJl`;
    await assert.rejects(provider.verifier.verify('agent', unsigned), {
      code: 'unauthorized',
      reason: 'token_signature',
      message: 'The token names an unusable key of the key set.',
    });
  }
});
