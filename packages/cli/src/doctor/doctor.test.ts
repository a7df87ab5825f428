import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Finding } from '@backhaul/protocol';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { SignJWT } from 'jose';
import { mintToken } from '../commands/token.ts';
import {
  FakeBackhaul,
  type Route,
  sendJson,
  sendProblem,
  TOKEN,
} from '../../../../test/doubles/fake-backhaul.ts';
import { runCli } from '../../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { checkToken } from './client-checks.ts';
import { checkClock } from './server-checks.ts';

const secret = { value: 'a secret that is long enough for HS256', source: 'JWT_SECRET' };
const now = Date.parse('2025-11-01T10:30:00Z');
const operator = { kind: 'operator', subject: 'ops', scopes: ['read', 'trigger'], ttlSeconds: 3600 } as const;

const healthy: Record<string, Route> = {
  'GET /healthz': (response) => response.end('ok'),
  'GET /readyz': (response) =>
    sendJson(response, { ready: true, checks: { storage: { ok: true, detail: null } } }),
  'GET /doctor': (response) =>
    sendJson(response, {
      server_version: '0.1.0',
      server_time: new Date().toISOString(),
      findings: [
        { name: 'lifecycle', level: 'warning', detail: 'No rule aborts old parts.', fix: 'Add one.' },
      ],
    }),
};

async function doctor(routes: Record<string, Route>, args: string[] = []) {
  await using server = await FakeBackhaul.start(routes);
  return await runCli(['doctor', ...args], { env: server.env });
}

describe('doctor', { concurrency: 4 }, () => {
  test('shows the findings of client and server', async () => {
    const { code, stdout } = await doctor(healthy, ['--json']);
    const { findings, server_version } = JSON.parse(stdout) as {
      findings: (Finding & { from: string })[];
      server_version: string;
    };
    assert.equal(server_version, '0.1.0');
    const levels = findings.map(({ from, name, level }) => `${from} ${name} ${level}`);
    assert.deepEqual(levels, [
      'client settings ok',
      'client reach ok',
      'client clock ok',
      // The fake server's token is not a JWT.
      'client token error',
      'client ready ok',
      'server lifecycle warning',
    ]);
    assert.equal(code, 1);
  });

  test('prints each finding with its fix', async () => {
    const { stdout } = await doctor(healthy);
    assert.match(stdout, /^ok +reach: http:\/\/127\.0\.0\.1:\d+ responds in /m);
    assert.match(stdout, /^warning {2}lifecycle: No rule aborts old parts\.\n +→ Add one\.$/m);
    assert.ok(!stdout.includes(TOKEN));
  });

  test('exits with 0 without errors, and uses the dev file', async () => {
    await using directory = await temporaryDirectory();
    const token = await mintToken(operator, secret, Date.now());
    await using server = await FakeBackhaul.start(
      { ...healthy, 'GET /doctor': (response) => sendProblem(response, 'forbidden') },
      token,
    );
    const file = path.join(directory.path, DEV_FILE);
    await mkdir(path.dirname(file));
    const dev = { server_url: server.url, operator_token: token, jwt_secret: secret.value, pid: 1 };
    await writeFile(file, JSON.stringify(dev), { mode: 0o600 });
    const good = await runCli(['doctor'], { cwd: directory.path });
    assert.equal(good.code, 0);
    assert.match(good.stdout, /^ok +dev file: \.backhaul\/dev\.json is in use$/m);
    assert.match(good.stdout, /^ok +token: ops \(\.backhaul\/dev\.json\): read, trigger/m);
    assert.match(good.stdout, /^info +server: .*scope admin/m);
    await chmod(file, 0o644);
    const open = await runCli(['doctor'], { cwd: directory.path });
    assert.match(open.stdout, /^error +settings: .*read by other users \(mode 644\) and is not trusted/m);
  });

  test('exits with 5 if the server is not ready', async () => {
    const token = await mintToken(operator, secret, Date.now());
    await using server = await FakeBackhaul.start(
      {
        ...healthy,
        'GET /readyz': (response) =>
          sendJson(
            response,
            { ready: false, checks: { storage: { ok: false, detail: 'AccessDenied' } } },
            503,
          ),
      },
      token,
    );
    const env = { BACKHAUL_URL: server.url, BACKHAUL_TOKEN: token };
    const { code, stdout } = await runCli(['doctor'], { env });
    assert.equal(code, 5);
    assert.match(stdout, /^error +ready: storage: AccessDenied$/m);
  });

  test('names a missing setting', async () => {
    await using directory = await temporaryDirectory();
    const { code, stdout } = await runCli(['doctor'], { cwd: directory.path });
    assert.equal(code, 1);
    assert.match(stdout, /^error +settings: No server URL\.\n +→ Set BACKHAUL_URL/m);
  });
});

describe('a token', () => {
  const level = (value: string, at = now) => checkToken({ value, source: '--token' }, at).findings[0];

  test('is valid, about to expire or expired', async () => {
    const token = await mintToken(operator, secret, now);
    assert.equal(level(token)?.level, 'ok');
    assert.equal(level(token, now + 55 * 60_000)?.level, 'warning');
    assert.match(level(token, now + 3_660_000)?.detail ?? '', /expired 1 min ago/);
    assert.deepEqual(checkToken({ value: token, source: '' }, now).scopes, ['read', 'trigger']);
  });

  test('without scope_version gets a warning', async () => {
    const sign = (claims: object) =>
      new SignJWT({ sub: 'ops', scope: 'read trigger', ...claims })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuedAt(now / 1000)
        .setExpirationTime(now / 1000 + 7200)
        .sign(new TextEncoder().encode(secret.value));
    const names = async (claims: object) =>
      checkToken({ value: await sign(claims), source: '' }, now).findings.map(({ name }) => name);
    assert.deepEqual(await names({}), ['token', 'scopes']);
    assert.deepEqual(await names({ scope_version: 2 }), ['token']);
    assert.deepEqual(await names({ scope: 'trigger' }), ['token']);
  });

  test('of an agent is an error, of another issuer a warning', async () => {
    const agent = await mintToken({ kind: 'agent', subject: 'a', ttlSeconds: 60 }, secret, now);
    assert.match(level(agent)?.detail ?? '', /an agent token/);
    const foreign = new SignJWT({ scp: 'read' }).setProtectedHeader({ alg: 'HS256' });
    assert.equal(level(await foreign.sign(new TextEncoder().encode(secret.value)))?.level, 'warning');
    assert.equal(level('x.y.z')?.level, 'error');
  });
});

test('a small clock difference is ok, a larger one a warning, a large one an error', () => {
  const level = (skewMs: number) =>
    checkClock(new Date(now).toUTCString(), now + skewMs).map((finding) => finding.level);
  assert.deepEqual(level(0), ['ok']);
  assert.deepEqual(level(-60_000), ['warning']);
  assert.deepEqual(level(600_000), ['error']);
  assert.match(checkClock(new Date(now).toUTCString(), now + 60_500)[0]?.detail ?? '', /1 min ahead of/);
  assert.deepEqual(checkClock(null, now), []);
});
