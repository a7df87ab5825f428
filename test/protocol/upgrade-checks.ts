import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, problemSchema } from '@backhaul/protocol';
import { AgentSocket, type Refusal, type UpgradeRequest } from './agent-socket.ts';
import type { SuiteTarget } from './suite-target.ts';

/** The server authenticates before the upgrade and refuses by an ordinary HTTP response. */
export function upgradeChecks(target: () => SuiteTarget): void {
  describe('the upgrade', { concurrency: false }, () => {
    test('without a token is answered 401', async () => {
      const refusal = await assertRefused({}, 401, 'unauthorized');
      assert.match(refusal.headers['www-authenticate'] ?? '', /^Bearer/);
    });

    for (const [what, authorization] of [
      ['garbage', 'Bearer garbage'],
      ['garbage of three parts', 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA'],
      ['nothing', 'Bearer '],
      ['another scheme', 'Basic dXNlcjpwYXNzd29yZA=='],
      [
        'an unsigned token',
        `Bearer ${unsigned({ alg: 'none', typ: 'backhaul-agent+jwt' }, { sub: 'suite', iss: 'backhaul' })}`,
      ],
    ] as const) {
      test(`with ${what} for a token is answered 401`, async () => {
        await assertRefused({ authorization }, 401, 'unauthorized');
      });
    }

    test('with an operator’s token is answered 401', async () => {
      await assertRefused({ authorization: `Bearer ${target().operatorToken}` }, 401, 'unauthorized');
    });

    for (const [kind, what] of [
      ['expired', 'a token that has expired'],
      ['foreign', 'a token signed by somebody else'],
      ['otherAudience', 'a token for another audience'],
    ] as const) {
      test(`with ${what} is answered 401`, async (t) => {
        const token = target().refused[kind];
        if (token === undefined) return t.skip('no such token was given');
        await assertRefused({ authorization: `Bearer ${token}` }, 401, 'unauthorized');
      });
    }

    test('with a valid token in the URL, and none in the header, is answered 401', async () => {
      await using client = await target().lend();
      const url = `${target().connectUrl}?token=${client.token}&access_token=${client.token}`;
      await assertRefused({ url }, 401, 'unauthorized');
    });

    test('of another path is answered 404', async () => {
      await using client = await target().lend();
      const url = target().connectUrl.replace('/ws/connect', '/ws/connect/elsewhere');
      await assertRefused({ url, authorization: `Bearer ${client.token}` }, 404, 'not_found');
    });

    test('without the subprotocol, or with another one, is answered 400', async () => {
      await using client = await target().lend();
      const authorization = `Bearer ${client.token}`;
      for (const subprotocols of [[], ['backhaul.v2'], ['chat', 'BACKHAUL.V1']]) {
        await assertRefused({ authorization, subprotocols }, 400, 'invalid_request');
      }
    });

    test('is granted to an agent’s token, picks backhaul.v1 of several, and agrees on no compression', async () => {
      await using client = await target().lend();
      const socket = await client.connect({
        subprotocols: ['chat', 'backhaul.v1'],
        options: { perMessageDeflate: true },
      });
      assert.equal(socket.webSocket.protocol, 'backhaul.v1');
      assert.equal(socket.webSocket.extensions, '');
    });

    test('does not make an agent’s token one of an operator', async () => {
      await using client = await target().lend();
      const answer = await fetch(`${target().url}/clients`, {
        headers: { authorization: `Bearer ${client.token}` },
      });
      assert.equal(answer.status, 401);
    });

    async function assertRefused(
      request: Partial<UpgradeRequest>,
      status: number,
      code: ErrorCode,
    ): Promise<Refusal> {
      const opened = await AgentSocket.open({ url: target().connectUrl, ...request });
      if (opened instanceof AgentSocket) {
        await opened.close();
        assert.fail(`the connection was upgraded; it should have been answered ${status}`);
      }
      assert.equal(opened.status, status, opened.body);
      assert.match(opened.headers['content-type'] ?? '', /^application\/problem\+json/);
      const problem = problemSchema.parse(JSON.parse(opened.body));
      assert.equal(problem.status, status);
      assert.equal(problem.code, code);
      return opened;
    }
  });
}

function unsigned(header: object, claims: object): string {
  const now = Math.floor(Date.now() / 1000);
  const payload = { ...claims, aud: 'backhaul-agent', iat: now, exp: now + 3600 };
  return `${[header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`;
}
