import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Provider } from 'oidc-provider';
import { FakeLog } from '../../../../test/doubles/fake-log.ts';
import { KeySet } from './key-set.ts';
import { keySetKeys } from './token-keys.ts';
import { type TokenRules, TokenVerifier } from './token-verifier.ts';

const agents = 'https://backhaul.example.com/agents';
const api = 'https://backhaul.example.com/api';
const MAX_AGE_MS = 3_600_000;
const clock = { now: () => Date.now() };

/** A provider as operators run one, on a port that can be closed and reopened. */
async function startProvider(t: TestContext) {
  let provider: Provider | undefined;
  const server = createServer((request, response) => void provider?.callback()(request, response));
  const port = await listen(server, 0);
  const issuer = `http://127.0.0.1:${port}`;
  provider = new Provider(issuer, {
    clients: ['restaurant-1', 'night-job'].map((id) => ({
      client_id: id,
      client_secret: `${id}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'read trigger openid',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 3600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    ttl: { ClientCredentials: 3600 },
    cookies: { keys: ['cookies of a test'] },
  });
  const rules: TokenRules = {
    issuer,
    audience: { agent: agents, operator: api },
    type: { agent: 'at+jwt', operator: 'at+jwt' },
    scopeClaim: 'scope',
  };
  let now = 0;
  const log = new FakeLog();
  const keySet = new KeySet(`${issuer}/jwks`, { maxAgeMs: MAX_AGE_MS, log, now: () => now, timeoutMs: 2000 });
  t.after(() => void server.close());
  return {
    log,
    keySet,
    verifier: new TokenVerifier(keySetKeys(keySet), clock, rules),
    byOwnRules: new TokenVerifier(keySetKeys(keySet), clock),
    pass: (ms: number) => (now += ms),
    async token(client: string, resource: string, scope = ''): Promise<string> {
      const body = new URLSearchParams({ grant_type: 'client_credentials', resource, scope });
      const authorization = `Basic ${Buffer.from(`${client}:${client}-secret`).toString('base64')}`;
      const response = await fetch(`${issuer}/token`, { method: 'POST', body, headers: { authorization } });
      const { access_token: token } = (await response.json()) as { access_token?: string };
      return token ?? assert.fail(`the provider gave no token (HTTP ${response.status})`);
    },
    async goAway(): Promise<void> {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
    comeBack: () => listen(server, port),
  };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

test('tokens of a provider are accepted only with its issuer, audiences, type and scopes', async (t) => {
  const provider = await startProvider(t);
  const agent = await provider.verifier.verify('agent', await provider.token('restaurant-1', agents));
  assert.equal(agent.sub, 'restaurant-1');
  const operatorToken = await provider.token('night-job', api, 'read openid trigger');
  const operator = await provider.verifier.verify('operator', operatorToken);
  assert.deepEqual([operator.sub, operator.scope], ['night-job', ['read', 'trigger']]);
  assert.equal(operator.scope_version, 2, 'its read never meant more');

  await assert.rejects(provider.verifier.verify('agent', operatorToken), { reason: 'token_kind' });
  await assert.rejects(provider.byOwnRules.verify('operator', operatorToken), { code: 'unauthorized' });
  const withoutScopes = await provider.token('night-job', api, 'openid');
  await assert.rejects(provider.verifier.verify('operator', withoutScopes), { reason: 'token_claims' });
});

test('during an outage of the provider its last keys are used for the configured time, and this is reported', async (t) => {
  const provider = await startProvider(t);
  const token = await provider.token('restaurant-1', agents);
  await provider.verifier.verify('agent', token);
  assert.equal(await provider.keySet.check(), null);
  await provider.goAway();

  // Old enough to be fetched again, and not too old to be used.
  provider.pass(MAX_AGE_MS - 1);
  await provider.verifier.verify('agent', token);
  assert.match(
    (await provider.keySet.check()) ?? '',
    /has been unreachable since .*is used until it is 3600 s old/,
  );
  assert.equal(provider.keySet.findings()[0]?.level, 'warning');
  assert.equal(provider.log.entries.filter(({ level }) => level === 'warn').length, 1);

  provider.pass(10_001);
  await assert.rejects(provider.verifier.verify('agent', token), { code: 'keys_unavailable' });
  await assert.rejects(provider.keySet.check(), { name: 'KeySetUnavailable' });
  assert.equal(provider.keySet.findings()[0]?.level, 'error');

  await provider.comeBack();
  provider.pass(10_001);
  await provider.verifier.verify('agent', token);
  assert.equal(await provider.keySet.check(), null);
  assert.ok(provider.log.has('the key set at JWT_JWKS_URL can be fetched again'));
});
