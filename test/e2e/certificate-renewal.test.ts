import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { logged, type Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TestAuthority } from '../harness/test-authority.ts';

describe('certificates that are replaced while server and agent run', { timeout: 120_000 }, () => {
  let stage: Stage;
  let own: TestAuthority;
  let other: TestAuthority;
  let agent: Program;

  before(async () => {
    stage = await Stage.start();
    own = await TestAuthority.make(stage.directory, 'own');
    other = await TestAuthority.make(stage.directory, 'other');
    const altName = 'DNS:localhost,IP:127.0.0.1';
    await own.issue('first', '/CN=first', { altName });
    await other.issue('second', '/CN=second', { altName });
    for (const authority of [own, other]) {
      await authority.issue(authority === own ? 'till-own' : 'till-other', '/CN=till-7');
    }
    put('first', 'server');
    put('till-own', 'till');
    put('own', 'agents-ca', ['crt']);
    put('own', 'trusted', ['crt']);
    const env = {
      TLS_CERT_FILE: path('server.crt'),
      TLS_KEY_FILE: path('server.key'),
      TLS_CLIENT_CA_FILE: path('agents-ca.crt'),
    };
    await stage.restartServer({ env });
    agent = await stage.startAgent('till-7', [
      ...[
        '--ca-file',
        path('trusted.crt'),
        '--client-cert',
        path('till.crt'),
        '--client-key',
        path('till.key'),
      ],
    ]);
  });
  after(() => stage[Symbol.asyncDispose]());

  test('a broken pair leaves the old certificate in use, with a line', async () => {
    writeFileSync(path('server.crt'), readFileSync(path('second.crt')));
    stage.server.kill('SIGHUP');
    const line = await stage.server.line(
      logged('TLS certificates not reloaded; the previous ones stay in use'),
    );
    assert.match(String(line['problem']), /TLS_CERT_FILE .*server\.crt and TLS_KEY_FILE .*server\.key/);
    assert.equal(await subjectShown(), 'first');
  });

  test('SIGHUP has the server show the new one, and the agent stays connected', async () => {
    put('second', 'server');
    stage.server.kill('SIGHUP');
    const line = await stage.server.line(logged('TLS certificates reloaded'));
    assert.equal(line['certificate'], 'CN=second');
    assert.equal(await subjectShown(), 'second');
    assert.equal((await status('till-7')).connected, true);
  });

  test('a bundle of authorities that is cut off leaves the whole one in use, with a line', async () => {
    writeFileSync(path('agents-ca.crt'), cutOff());
    stage.server.kill('SIGHUP');
    const problem = await stage.server.line((line) => (line.includes('is truncated') ? line : undefined));
    assert.match(problem, /"level":"error".*TLS_CLIENT_CA_FILE .*agents-ca\.crt is truncated.*not reloaded/);
    put('own', 'agents-ca', ['crt']);
  });

  test('after SIGHUP the agent trusts the new authority, and shows its own new certificate', async () => {
    writeFileSync(path('trusted.crt'), cutOff());
    agent.kill('SIGHUP');
    const line = await agent.line(
      logged('failed to reload --ca-file; the previous certificates stay in use'),
    );
    assert.match(String(line['problem']), /trusted\.crt is truncated/);
    put('other', 'trusted', ['crt']);
    agent.kill('SIGHUP');
    await agent.line(logged('--ca-file reloaded'));
    assert.equal((await status('till-7')).connected, true);

    put('till-other', 'till');
    put('other', 'agents-ca', ['crt']);
    // A new process uses the same port: the agent has to reconnect to a server of the other authority.
    await stage.restartServer({
      env: {
        TLS_CERT_FILE: path('server.crt'),
        TLS_KEY_FILE: path('server.key'),
        TLS_CLIENT_CA_FILE: path('agents-ca.crt'),
      },
    });
    for (;;) {
      if ((await status('till-7')).connected) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  test('an authority that was taken away signs no agent in any more, not even on a session it had', async () => {
    const session = await sessionOf('till-other');
    put('own', 'agents-ca', ['crt']);
    stage.server.kill('SIGHUP');
    await stage.server.line(logged('TLS certificates reloaded'));
    assert.deepEqual(await resumes('till-other', session), false);
  });

  const path = (name: string): string => stage.directory.join(name);

  /** Returns a complete certificate and the beginning of another. */
  function cutOff(): string {
    return `${readFileSync(path('own.crt'), 'utf8')}${readFileSync(path('other.crt'), 'utf8').slice(0, 200)}`;
  }

  function put(from: string, to: string, parts: readonly string[] = ['crt', 'key']): void {
    for (const part of parts) copyFileSync(path(`${from}.${part}`), path(`${to}.${part}`));
  }

  /** `Stage` has no --ca-file of its own; this request is about agents. */
  async function status(clientId: string): Promise<{ connected: boolean }> {
    const authorities = `${readFileSync(path('own.crt'), 'utf8')}${readFileSync(path('other.crt'), 'utf8')}`;
    writeFileSync(path('both.crt'), authorities);
    await using program = stage.startCli(['status', clientId, '--json'], {
      BACKHAUL_URL: stage.url,
      NODE_EXTRA_CA_CERTS: path('both.crt'),
    });
    const { stdout, stderr } = await program.exit;
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as { connected: boolean };
  }

  function open(certificate: string, session?: Buffer) {
    return connect({
      ...{ host: '127.0.0.1', port: Number(new URL(stage.url).port), rejectUnauthorized: false },
      ...{ cert: readFileSync(path(`${certificate}.crt`)), key: readFileSync(path(`${certificate}.key`)) },
      ...(session === undefined ? {} : { session }),
    });
  }

  async function subjectShown(): Promise<string | undefined> {
    const socket = open('till-own');
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return typeof subject.CN === 'string' ? subject.CN : undefined;
  }

  async function sessionOf(certificate: string): Promise<Buffer> {
    const socket = open(certificate);
    const [session] = (await once(socket, 'session')) as [Buffer];
    socket.destroy();
    return session;
  }

  async function resumes(certificate: string, session: Buffer): Promise<boolean> {
    const socket = open(certificate, session);
    await once(socket, 'secureConnect');
    const reused = socket.isSessionReused();
    socket.destroy();
    return reused;
  }
});
