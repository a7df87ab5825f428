import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readinessSchema } from '@backhaul/protocol';
import { hasExternalStore } from '../harness/object-store.ts';
import { readinessWhen } from '../harness/readiness.ts';
import { Stage } from '../harness/stage.ts';

describe('what the server answers without a token', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('readiness is yes or no for each check; why not is for tokens with the scope read', async (t) => {
    if (hasExternalStore()) return t.skip('a store that is not ours is not taken away');
    await stage.s3.embedded?.goAway();
    const insider = await readinessWhen(stage, false);
    assert.match(insider.checks['s3']?.detail ?? '', /\w/);
    const withoutReading = await stage.tokens.operator(['trigger']);
    for (const headers of [
      {},
      { authorization: 'Bearer nonsense' },
      { authorization: 'Basic dGVzdGVyOnBhc3N3b3Jk' },
      { authorization: `Bearer ${withoutReading}` },
    ]) {
      const answer = await fetch(`${stage.url}/readyz`, { headers });
      assert.equal(answer.status, 503);
      const text = await answer.text();
      const { ready, checks } = readinessSchema.parse(JSON.parse(text));
      assert.deepEqual({ ready, s3: checks['s3'] }, { ready: false, s3: { ok: false, detail: null } });
      assert.ok(!text.includes(stage.s3.bucket), text);
    }
    await stage.s3.embedded?.comeBack();
    await readinessWhen(stage, true);
  });

  test('the page at /docs loads only what its policy allows, and all of it is there', async () => {
    const page = await fetch(`${stage.url}/docs`);
    assert.equal(page.status, 200);
    const policy = policyOf(page);
    assert.deepEqual(policy.get('default-src'), ["'none'"]);
    assert.deepEqual(policy.get('script-src'), ["'self'"]);
    assert.deepEqual(policy.get('frame-ancestors'), ["'none'"]);
    const html = await page.text();
    // "self" forbids inline script and style in the page.
    assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/i);
    assert.match(html, /<title>Backhaul API<\/title>/);
    const loaded = [...html.matchAll(/\s(?:src|href)="([^"]+)"/g)].map(([, address = '']) => address);
    assert.ok(loaded.length >= 6, loaded.join(', '));
    for (const address of loaded) {
      const url = new URL(address, page.url);
      assert.equal(url.origin, new URL(stage.url).origin);
      const asset = await fetch(url);
      assert.equal(asset.status, 200, address);
      assert.match(asset.headers.get('content-type') ?? '', typeOf(address), address);
      assert.equal(asset.headers.get('x-content-type-options'), 'nosniff', address);
      await asset.body?.cancel();
    }
    const initializer = await (await fetch(`${stage.url}/docs/static/swagger-initializer.js`)).text();
    // The script requests this description, which connect-src allows.
    assert.match(initializer, /resolveUrl\('\.\/json'\)/);
    assert.deepEqual(policy.get('connect-src'), ["'self'"]);
    assert.match(initializer, /img\.src = 'data:image\/svg\+xml;base64,/, 'the logo is our own');
    assert.equal((await fetch(`${stage.url}/docs/json`)).status, 200);
  });

  test('the root leads to that page, also below a path of a proxy', async () => {
    const answer = await fetch(`${stage.url}/`, { redirect: 'manual' });
    assert.equal(answer.status, 302);
    assert.equal(answer.headers.get('location'), 'docs/');
    assert.equal((await fetch(`${stage.url}/`)).status, 200);
  });

  test('the page proposes no request that starts a second pull', async () => {
    const description = (await (await fetch(`${stage.url}/openapi.json`)).json()) as {
      components: { schemas: Record<string, { examples?: object[] }> };
    };
    const [example] = description.components.schemas['TriggerRequest']?.examples ?? [];
    assert.deepEqual(Object.keys(example ?? {}), ['file_path', 'reason']);
  });

  test('no answer is taken for another type than it says', async () => {
    for (const path of ['/healthz', '/openapi.json', '/nowhere', '/uploads']) {
      const answer = await fetch(`${stage.url}${path}`);
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path);
      await answer.body?.cancel();
    }
  });
});

function policyOf({ headers }: Response): Map<string, string[]> {
  const directives = (headers.get('content-security-policy') ?? '').split(';').map((text) => text.trim());
  return new Map(
    directives.map((directive) => {
      const [name = '', ...sources] = directive.split(/\s+/);
      return [name, sources];
    }),
  );
}

function typeOf(address: string): RegExp {
  if (address.endsWith('.js')) return /javascript/;
  return address.endsWith('.css') ? /^text\/css/ : /^image\//;
}
