import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { agentClaimsSchema, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { DevServerNotRunning, devToken } from './dev-token.ts';

test('a development token is a short-lived HS256 agent token for this client_id', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  const path = join(directory, 'dev.json');
  const secret = 'x'.repeat(43);
  await writeFile(
    path,
    JSON.stringify({ server_url: 'http://localhost:1', operator_token: 'o', jwt_secret: secret, pid: 1 }),
    { mode: 0o600 },
  );
  const token = await devToken(path, { clientId: 'restaurant-1', wallSeconds: () => 1_700_000_000.9 });
  await rm(directory, { recursive: true });

  const [header = '', payload = '', signature = ''] = token.split('.');
  const read = (text: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  assert.deepEqual(read(header), { alg: 'HS256', typ: tokenKinds.agent.type });
  const claims = read(payload);
  assert.equal(claims['iss'], TOKEN_ISSUER);
  assert.equal(claims['aud'], tokenKinds.agent.audience);
  const { sub, iat, exp } = agentClaimsSchema.parse(claims);
  assert.equal(sub, 'restaurant-1');
  assert.equal(iat, 1_700_000_000);
  assert.ok(exp > iat && exp - iat <= 86_400);
  assert.equal(signature, createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url'));
});

test('an untrusted file is refused with an error that names the fix', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  const path = join(directory, 'dev.json');
  const options = { clientId: 'restaurant-1', wallSeconds: () => 1_700_000_000 };
  const fields = { server_url: 'http://localhost:1', operator_token: 'o', jwt_secret: 's', pid: 1 };
  await writeFile(path, JSON.stringify(fields), { mode: 0o600 });
  await chmod(path, 0o620);
  await assert.rejects(devToken(path, options), /written by other users .*--token-file/);
  await chmod(path, 0o600);
  await devToken(path, options);
  await rm(directory, { recursive: true });
});

test('a missing file means that the server is not running, not that the token is missing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  const options = { clientId: 'restaurant-1', wallSeconds: () => 1_700_000_000 };
  await assert.rejects(devToken(join(directory, 'dev.json'), options), DevServerNotRunning);
  await assert.rejects(devToken(directory, options), (error) => !(error instanceof DevServerNotRunning));
  await rm(directory, { recursive: true });
});
