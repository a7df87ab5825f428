import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Scope, scopes } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TokenSigner } from '../harness/tokens.ts';

interface Route {
  readonly method: string;
  readonly path: string;
}

/** These routes expose no one's data, and probes and browsers send no token. */
const open = ['GET /healthz', 'GET /readyz'];
const UPLOAD = '019ab3c2-5f00-7000-8000-000000000001';

describe('the API asks for an operator’s token', () => {
  let stage: Stage;
  let routes: Route[];
  before(async () => {
    stage = await Stage.start();
    routes = await describedRoutes();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('on every route of its description but those for probes', () => {
    const names = routes.map(({ method, path }) => `${method} ${path}`);
    assert.ok(names.includes('POST /trigger-download/{client_id}'), names.join(', '));
    assert.ok(names.includes('POST /clients/{client_id}/commands/{name}'));
    assert.ok(names.length >= 17, names.join(', '));
    for (const name of open) assert.ok(names.includes(name), name);
  });

  test('and leaves probes, description and its page open', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs']) {
      const answer = await fetch(`${stage.url}${path}`);
      assert.equal(answer.status, 200, path);
      await answer.arrayBuffer();
    }
  });

  test('without one answers 401 and says how to authenticate', async () => {
    await everyGuarded(async (route) => {
      const answer = await ask(route, undefined);
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer', nameOf(route));
      await assertProblem(answer, 401, 'unauthorized');
    });
  });

  test('without one answers 401 to HEAD, too', async () => {
    const reads = routes.filter((route) => route.method === 'GET' && !open.includes(nameOf(route)));
    for (const { path } of reads) {
      const answer = await ask({ method: 'HEAD', path }, undefined);
      assert.ok(answer.status === 401 || answer.status === 405, `HEAD ${path}: ${answer.status}`);
    }
  });

  test('with one that is not valid here answers 401', async () => {
    const { tokens } = stage;
    const claims = { scope: scopes.join(' ') };
    const subject = 'tester';
    const now = Math.floor(Date.now() / 1000);
    const invalid: Record<string, string> = {
      'an agent’s': await tokens.agent('till'),
      expired: await tokens.sign('operator', { subject, claims, expiresAt: now - 3600 }),
      'of another secret': await new TokenSigner('another secret that is long enough for HS256').operator(),
      'of another issuer': await tokens.sign('operator', { subject, claims, issuer: 'somebody' }),
      'without a scope': await tokens.sign('operator', { subject }),
      unsigned: unsigned(await tokens.operator()),
      changed: changed(await tokens.operator(['read'])),
      nonsense: 'nonsense',
    };
    for (const [what, token] of Object.entries(invalid)) {
      await everyGuarded(async (route) => {
        const answer = await ask(route, token);
        assert.equal(answer.status, 401, `${nameOf(route)} with a token ${what}`);
        assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
        await assertProblem(answer, 401, 'unauthorized');
      });
    }
  });

  test('and not in the query, nor by another scheme', async () => {
    const token = stage.operatorToken;
    const basic = Buffer.from(`tester:${token}`).toString('base64');
    const answers = [
      fetch(`${stage.url}/uploads?access_token=${token}`),
      fetch(`${stage.url}/uploads?token=${token}`),
      fetch(`${stage.url}/uploads`, { headers: { authorization: `Basic ${basic}` } }),
      fetch(`${stage.url}/uploads`, { headers: { authorization: token } }),
    ];
    for (const answer of answers) await assertProblem(await answer, 401, 'unauthorized');
  });

  test('with all scopes but the one that is needed answers 403 and names it', async () => {
    await everyGuarded(async (route) => {
      const needed = scopeOf(route);
      const token = await stage.tokens.operator(scopes.filter((scope) => scope !== needed));
      const problem = await assertProblem(await ask(route, token), 403, 'forbidden');
      assert.match(problem.detail, new RegExp(`"${needed}"`), nameOf(route));
    });
  });

  test('with just the scope that is needed lets in', async () => {
    await everyGuarded(async (route) => {
      const answer = await ask(route, await stage.tokens.operator([scopeOf(route)]));
      assert.ok(![401, 403].includes(answer.status), `${nameOf(route)}: ${answer.status}`);
      await answer.body?.cancel();
    });
  });

  test('of every set of scopes opens the routes of these scopes, and no others', async (t) => {
    const sets = Array.from({ length: 2 ** scopes.length }, (_, bits) =>
      scopes.filter((_scope, index) => (bits & (1 << index)) !== 0),
    ).filter((set) => set.length > 0);
    let pairs = 0;
    for (const set of sets) {
      const token = await stage.tokens.operator(set);
      await everyGuarded(async (route) => {
        const answer = await ask(route, token);
        assert.equal(
          answer.status !== 403,
          set.includes(scopeOf(route)),
          `${nameOf(route)} with ${set.join(' ')}`,
        );
        assert.notEqual(answer.status, 401);
        await answer.body?.cancel();
        pairs += 1;
      });
    }
    t.diagnostic(`${pairs} pairs of scopes and a route`);
    assert.ok(pairs >= 96, `${pairs}`);
  });

  test('of whom read was granted before the scopes were split, for a while also gives content and metrics', async () => {
    const token = await stage.tokens.sign('operator', {
      subject: 'old-prometheus',
      claims: { scope: 'read' },
    });
    const statusOf = async (path: string) => {
      const answer = await ask({ method: 'GET', path }, token);
      await answer.body?.cancel();
      return answer.status;
    };
    assert.equal(await statusOf('/metrics'), 200);
    assert.equal(await statusOf('/uploads/{upload_id}/content'), 404, 'it looked for the upload');
    assert.equal(await statusOf('/doctor'), 403);
    const deprecated =
      'deprecated: a token without scope_version uses "read" for more than records; create a new one';
    const { subject } = await stage.server.line(logged(deprecated));
    assert.equal(subject, 'old-prometheus');
    const { findings } = await stage.client.diagnosis();
    assert.match(findings.find(({ name }) => name === 'scopes')?.detail ?? '', /old-prometheus/);

    await stage.restartServer({ env: { LEGACY_READ_SCOPE: 'off' } });
    assert.equal(await statusOf('/uploads'), 200);
    const problem = await assertProblem(
      await ask({ method: 'GET', path: '/metrics' }, token),
      403,
      'forbidden',
    );
    assert.match(problem.detail, /needs the scope "metrics".*no longer includes "metrics"/);
  });

  test('before it looks at anything else', async () => {
    const answers = [
      fetch(`${stage.url}/uploads/no-upload-id`),
      fetch(`${stage.url}/trigger-download/till`, { method: 'POST', body: '{', headers: json }),
      fetch(`${stage.url}/uploads?limit=0`),
    ];
    for (const answer of answers) await assertProblem(await answer, 401, 'unauthorized');
  });

  test('and answers paths that do not exist with 404, methods that a path does not have with 405', async () => {
    await assertProblem(await fetch(`${stage.url}/nowhere?token=x`), 404, 'not_found');
    const patched = await stage.fetch('/uploads', { method: 'PATCH' });
    assert.equal(patched.headers.get('allow'), 'GET, HEAD');
    await assertProblem(patched, 405, 'method_not_allowed');
    const nested = await stage.fetch('/uploads/019ab3c2-5f00-7000-8000-000000000001/cancel', {
      method: 'PUT',
    });
    assert.equal(nested.headers.get('allow'), 'POST');
  });

  async function describedRoutes(): Promise<Route[]> {
    const answer = await fetch(`${stage.url}/openapi.json`);
    const { paths } = (await answer.json()) as { paths: Record<string, Record<string, unknown>> };
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
    );
  }

  async function everyGuarded(check: (route: Route) => Promise<void>): Promise<void> {
    const guarded = routes.filter((route) => !open.includes(nameOf(route)));
    await Promise.all(guarded.map(check));
  }

  function ask({ method, path }: Route, token: string | undefined): Promise<Response> {
    const filled = path
      .replace('{client_id}', 'till')
      .replace('{upload_id}', UPLOAD)
      .replace('{name}', 'health_check');
    assert.doesNotMatch(filled, /[{}]/);
    return fetch(`${stage.url}${filled}`, {
      method,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  }
});

const json = { 'content-type': 'application/json' };

function nameOf({ method, path }: Route): string {
  return `${method} ${path}`;
}

/** Documented scopes: metrics, files, reading, starting and ending pulls, and deleting or inspecting. */
function scopeOf(route: Route): Scope {
  if (route.method === 'DELETE' || route.method === 'PUT' || route.path === '/doctor') return 'admin';
  if (route.path === '/metrics') return 'metrics';
  if (route.path === '/audit') return 'audit';
  if (route.path === '/uploads/{upload_id}/content') return 'content';
  return route.method === 'GET' ? 'read' : 'trigger';
}

/** Signs the same claims under `alg: none` (RFC 7519, section 6). */
function unsigned(token: string): string {
  const [, payload = ''] = token.split('.');
  const header = { alg: 'none', typ: 'backhaul-operator+jwt' };
  return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.`;
}

/** Adds scopes under the signature of fewer. */
function changed(token: string): string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const more = Buffer.from(JSON.stringify({ ...claims, scope: scopes.join(' ') })).toString('base64url');
  return `${header}.${more}.${signature}`;
}
