import assert from 'node:assert/strict';
import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BackhaulError, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { exportJWK, SignJWT } from 'jose';
import { ConfigError } from '../config/config-error.ts';
import { keySetKeys, loadTokenKeys, publicKeys } from './token-keys.ts';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { KeySet } from './key-set.ts';
import { TokenVerifier } from './token-verifier.ts';

const clock = { now: () => Date.now() };

function agentToken(key: KeyObject, header: { alg: string; kid?: string }): Promise<string> {
  const { audience, type } = tokenKinds.agent;
  return new SignJWT({ sub: 'restaurant-1', iss: TOKEN_ISSUER, aud: audience })
    .setProtectedHeader({ ...header, typ: type })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(key);
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

for (const [what, pem, complaint] of [
  [
    'a private key',
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    /private key/,
  ],
  ['no key', 'hello', /does not contain a public key/],
  [
    'a short RSA key',
    pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
    /neither RSA of at least 2048/,
  ],
  [
    'a key on another curve',
    pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
    /neither RSA/,
  ],
] as const) {
  test(`a key file with ${what} is refused, naming its setting`, () => {
    assert.throws(
      () => publicKeys('/etc/key.pem', pem),
      (error) =>
        error instanceof ConfigError &&
        error.message.startsWith('JWT_PUBLIC_KEY_FILE names /etc/key.pem') &&
        complaint.test(error.message),
    );
  });
}

test('keys are loaded from each source', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-keys-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'key.pem');
  await writeFile(path, pemOf(generateKeyPairSync('ed25519').publicKey));
  const algorithmsOf = async (source: Parameters<typeof loadTokenKeys>[0]) =>
    (await loadTokenKeys(source, { log: new FakeLog() })).algorithms;
  assert.deepEqual(await algorithmsOf({ kind: 'secret', secret: 'x'.repeat(32) }), ['HS256']);
  assert.deepEqual(await algorithmsOf({ kind: 'public-key-file', path }), ['EdDSA']);
  assert.deepEqual(
    await algorithmsOf({ kind: 'jwks', url: 'https://id.example.com/jwks', maxAgeMs: 60_000 }),
    ['RS256', 'ES256', 'EdDSA'],
  );
});

test('a key set is fetched once for many tokens, and invented key ids cause no further requests', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }];
  let requests = 0;
  const url = await serve(t, (_, response) => {
    requests += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  const verifier = new TokenVerifier(keySetKeys(keySetAt(url)), clock);
  const token = await agentToken(privateKey, { alg: 'ES256', kid: 'one' });
  for (let count = 0; count < 3; count += 1)
    assert.equal((await verifier.verify('agent', token)).sub, 'restaurant-1');
  for (const kid of ['two', 'three']) {
    await assert.rejects(
      verifier.verify('agent', await agentToken(privateKey, { alg: 'ES256', kid })),
      (error) =>
        error instanceof BackhaulError &&
        error.code === 'unauthorized' &&
        /not in the key set/.test(error.message),
    );
  }
  assert.equal(requests, 1);
});

test('a symmetric key in the key set verifies nothing', async (t) => {
  const k = Buffer.alloc(32, 7).toString('base64url');
  const url = await serve(t, (_, response) => {
    response.end(JSON.stringify({ keys: [{ kty: 'oct', k, kid: 'one', alg: 'HS256' }] }));
  });
  const token = await agentToken(createSecretKey(Buffer.alloc(32, 7)), { alg: 'HS256', kid: 'one' });
  await assert.rejects(
    new TokenVerifier(keySetKeys(keySetAt(url)), clock).verify('agent', token),
    (error) => error instanceof BackhaulError && error.code === 'unauthorized',
  );
});

for (const [what, listener] of [
  ['responds with 500', (_, response) => response.writeHead(500).end()],
  ['responds with nonsense', (_, response) => response.end('<html>')],
  ['redirects', (_, response) => response.writeHead(302, { location: '/elsewhere' }).end()],
  ['never responds', () => undefined],
] satisfies [string, RequestListener][]) {
  test(`a key set that ${what} is a problem of the server, not of the token`, async (t) => {
    const verifier = new TokenVerifier(keySetKeys(keySetAt(await serve(t, listener), 200)), clock);
    const token = await agentToken(generateKeyPairSync('ed25519').privateKey, { alg: 'EdDSA', kid: 'one' });
    await assert.rejects(
      verifier.verify('agent', token),
      (error) =>
        error instanceof BackhaulError &&
        error.code === 'keys_unavailable' &&
        /JWT_JWKS_URL/.test(error.message),
    );
  });
}

test('a long refusal of the key set on a connection that the provider closes does not end the process', async (t) => {
  const closed = Promise.withResolvers<void>();
  const body = Buffer.alloc(64 * 1024, 'x');
  const provider = createTcpServer((socket) => {
    socket
      .once('close', () => closed.resolve())
      .once('data', () => {
        socket.write(
          `HTTP/1.1 503 Unavailable\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`,
        );
        socket.end(body);
      });
  }).listen(0, '127.0.0.1');
  await once(provider, 'listening');
  t.after(() => provider.close());
  const { port } = provider.address() as AddressInfo;
  const verifier = new TokenVerifier(keySetKeys(keySetAt(`http://127.0.0.1:${port}/jwks`)), clock);
  const token = await agentToken(generateKeyPairSync('ed25519').privateKey, { alg: 'EdDSA', kid: 'one' });
  await assert.rejects(verifier.verify('agent', token), { code: 'keys_unavailable' });
  await closed.promise;
});

function keySetAt(url: string, timeoutMs = 5000): KeySet {
  return new KeySet(url, { maxAgeMs: 60_000, timeoutMs, log: new FakeLog() });
}
