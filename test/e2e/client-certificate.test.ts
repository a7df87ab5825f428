import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { SUBPROTOCOL } from '@backhaul/protocol';
import { Stage } from '../harness/stage.ts';
import { TestAuthority } from '../harness/test-authority.ts';

describe('with TLS_CLIENT_CA_FILE', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
    const fleet = await TestAuthority.make(stage.directory);
    await fleet.issue('server', '/CN=localhost', { altName: 'DNS:localhost,IP:127.0.0.1' });
    await fleet.issue('till-7', '/CN=till-7');
    await fleet.issue('dns', '/CN=till-7', { altName: 'DNS:till-8,DNS:till-8.example.com' });
    await fleet.issue('unusual', '/CN=x', { altName: 'email:till-7,URI:till-7' });
    await fleet.issue('two', '/CN=till-7/CN=till-8');
    await restart({});
  });
  after(() => stage[Symbol.asyncDispose]());

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`an agent connects by its own certificate only, over ${maxVersion} and on resumed sessions`, async () => {
      const own = await upgrade('till-7', { certificate: 'till-7', maxVersion });
      assert.equal(own.status, 101);
      const other = await upgrade('till-8', { certificate: 'till-7', maxVersion });
      assert.equal(other.status, 401);
      assert.match(other.body, /The token is for \\"till-8\\".*certificate is for \\"till-7\\"/);

      // A resumed session has the certificate of its first handshake, whatever the client presents now.
      for (const certificate of ['till-7', 'dns', undefined] as const) {
        const { session } = own;
        const resumed = await upgrade('till-7', { certificate, maxVersion, session });
        assert.deepEqual([resumed.reused, resumed.status], [true, 101], certificate);
        const stolen = await upgrade('till-8', { certificate, maxVersion, session });
        assert.deepEqual([stolen.reused, stolen.status], [true, 401], certificate);
      }
      const none = await upgrade('till-7', { maxVersion });
      assert.equal(none.status, 401);
      const later = await upgrade('till-7', { certificate: 'till-7', maxVersion, session: none.session });
      assert.deepEqual(
        [later.reused, later.status],
        [true, 401],
        'a session without a certificate stays one',
      );
    });
  }

  test('DNS names count before the common name, and no other kind of name or several common names', async () => {
    assert.equal((await upgrade('till-8', { certificate: 'dns' })).status, 101);
    assert.equal((await upgrade('till-8.example.com', { certificate: 'dns' })).status, 101);
    for (const clientId of ['till-7', 'TILL-8', 'till-8.', 'example.com']) {
      assert.equal((await upgrade(clientId, { certificate: 'dns' })).status, 401, clientId);
    }
    for (const clientId of ['till-7', 'till-9']) {
      assert.equal((await upgrade(clientId, { certificate: 'unusual' })).status, 401, clientId);
    }
    assert.equal((await upgrade('till-7', { certificate: 'two' })).status, 401);
  });

  test('TLS_CLIENT_MATCH=none takes any certificate of the authority', async () => {
    await restart({ TLS_CLIENT_MATCH: 'none' });
    assert.equal((await upgrade('till-8', { certificate: 'till-7' })).status, 101);
    assert.equal((await upgrade('till-8', {})).status, 401);
  });

  const path = (name: string): string => stage.directory.join(name);

  async function restart(env: Record<string, string>): Promise<void> {
    const tls = { TLS_CERT_FILE: path('server.crt'), TLS_KEY_FILE: path('server.key') };
    await stage.restartServer({ env: { ...tls, TLS_CLIENT_CA_FILE: path('ca.crt'), ...env } });
  }

  interface Shown extends Pick<ConnectionOptions, 'maxVersion'> {
    readonly certificate?: string | undefined;
    readonly session?: Buffer | undefined;
  }

  /** Requests the upgrade and closes the connection after the response. */
  async function upgrade(clientId: string, { certificate, session, maxVersion }: Shown) {
    const token = await stage.tokens.agent(clientId);
    const { port } = new URL(stage.url);
    const socket = connect({
      ...{ host: '127.0.0.1', port: Number(port), ca: readFileSync(path('ca.crt')) },
      ...(maxVersion === undefined ? {} : { maxVersion }),
      ...(session === undefined ? {} : { session }),
      ...(certificate === undefined
        ? {}
        : { cert: readFileSync(path(`${certificate}.crt`)), key: readFileSync(path(`${certificate}.key`)) }),
    });
    let latest: Buffer | undefined;
    let reused = false;
    socket.once('secureConnect', () => (reused = socket.isSessionReused()));
    socket.on('session', (ticket) => (latest = ticket));
    socket.write(
      `GET /ws/connect HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
    );
    let answer = '';
    for await (const chunk of socket) {
      answer += (chunk as Buffer).toString('latin1');
      if (answer.startsWith('HTTP/1.1 101')) break;
    }
    const [, status = ''] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? [];
    return { status: Number(status), body: answer, session: latest, reused };
  }
});
