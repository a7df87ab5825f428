import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { problemSchema } from '@backhaul/protocol';
import { Stage } from '../harness/stage.ts';

describe('a request that no route sees', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
  });
  after(() => stage[Symbol.asyncDispose]());

  /** Returns the whole response to raw bytes. */
  async function answerTo(request: string): Promise<string> {
    const socket = connect(Number(new URL(stage.url).port), '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.write(request);
    await once(socket, 'close');
    return answer;
  }

  test('offers another upgrade, and is answered as it is', async () => {
    const answer = await answerTo(
      'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });

  test('comes to the path of agents without an upgrade, and is answered with 426 and what a proxy has to pass on', async () => {
    // nginx sends this request with its defaults.
    const answer = await answerTo(
      'GET /ws/connect HTTP/1.0\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 426 /);
    assert.match(answer, /\r\nupgrade: websocket\r\n/i);
    assert.match(answer, /proxy_set_header Upgrade \$http_upgrade/);
  });

  test('for the API’s page names its parts by relative paths, so that they are found below a path of a proxy', async () => {
    const withoutSlash = await fetch(`${stage.url}/docs`, { redirect: 'manual' });
    assert.equal(withoutSlash.headers.get('location'), 'docs/');
    const page = await (await fetch(`${stage.url}/docs/`)).text();
    const parts = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part = '']) => part);
    assert.ok(parts.length > 3);
    for (const part of parts) assert.match(part, /^\.\//, part);
  });

  for (const [what, request] of [
    ['has a path that is no text', 'GET /uploads/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
    ['has two lengths', 'POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['is no HTTP', 'hello\r\n\r\n'],
    ['has too large a header', `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(40_000)}\r\n\r\n`],
  ] as const) {
    test(`${what}, and is answered with a problem document`, async () => {
      const [head = '', body = ''] = (await answerTo(request)).split('\r\n\r\n');
      assert.match(head, /^HTTP\/1\.1 400 /);
      assert.match(head, /content-type: application\/problem\+json/i);
      assert.equal(problemSchema.parse(JSON.parse(body)).code, 'invalid_request');
    });
  }
});
