import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Program, logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TokenSigner } from '../harness/tokens.ts';

const RENEWED = 'token renewed; the next connection uses the new one';
const STORED = 'renewed token stored by the agent';

describe('an agent’s token, renewed over its connection,', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage[Symbol.asyncDispose]());

  /** An agent with a token of its owner that is due for renewal, and a directory to store the renewed one. */
  async function machine(clientId: string) {
    const now = Math.floor(Date.now() / 1000);
    const given = await stage.tokens.sign('agent', {
      subject: clientId,
      issuedAt: now - 3000,
      expiresAt: now + 600,
    });
    const tokenFile = stage.directory.join(`${clientId}.token`);
    const state = stage.directory.join(`${clientId}.state`);
    await writeFile(tokenFile, given, { mode: 0o600 });
    const start = (
      options: { keeps?: boolean; nodeFlags?: readonly string[]; args?: readonly string[] } = {},
    ): Program =>
      stage.spawnAgent({
        args: [
          ...['--client-id', clientId, '--server-url', stage.webSocketUrl, '--log-format', 'json'],
          ...['--token-file', tokenFile],
          ...(options.keeps === false ? [] : ['--state-directory', state]),
          ...(options.args ?? []),
        ],
        nodeFlags: options.nodeFlags ?? [],
      });
    const kept = async (): Promise<string> => {
      const { token } = JSON.parse(await readFile(join(state, 'token.json'), 'utf8')) as { token: string };
      return token;
    };
    return { given, tokenFile, state, start, kept };
  }

  const ofClient =
    (clientId: string, message: string) =>
    (line: string): Record<string, unknown> | undefined => {
      const entry = logged(message)(line);
      return entry?.['client_id'] === clientId ? entry : undefined;
    };

  test('is kept by its agent alone, and shown as the one that ends', async () => {
    const { given, state, start, kept } = await machine('till-1');
    const agent = start({ args: ['--allow', stage.directory.path] });
    await agent.line(logged(RENEWED));
    await stage.server.line(ofClient('till-1', STORED));
    const token = await kept();
    assert.notEqual(token, given);
    assert.equal((await stat(join(state, 'token.json'))).mode & 0o777, 0o600);
    const ends = new Date(expiryOf(token) * 1000).toISOString();
    assert.equal((await stage.client.getStatus('till-1')).token_expires_at, ends);
    assert.ok(expiryOf(token) > expiryOf(given) + 2000);
    const { error } = await stage.pull('till-1', { file_path: join(state, 'token.json') });
    assert.equal(error, 'path_not_allowed');

    await agent.stop();
    const again = start();
    await again.line(logged('connected'));
    assert.equal((await stage.client.getStatus('till-1')).token_expires_at, ends);
    await again.stop();
    const outputs = [agent.output, again.output, stage.server.output].map(
      ({ stdout, stderr }) => stdout + stderr,
    );
    for (const secret of [given, token]) {
      const [, , signature = ''] = secret.split('.');
      assert.ok(outputs.every((output) => !output.includes(signature)));
    }
  });

  test('ends the one before, whose use is logged, counted, and stops renewal until there is a later one', async () => {
    const { tokenFile, start, kept } = await machine('till-2');
    const first = start();
    await first.line(logged(RENEWED));
    await first.stop();
    const second = start();
    await second.line(logged('connected'));
    const copy = start({ keeps: false });
    const refusal = await stage.server.line(ofClient('till-2', 'agent refused before the upgrade'));
    assert.equal(refusal['reason'], 'token_replaced');
    await stage.server.line(
      ofClient(
        'till-2',
        'a replaced token was used; tokens of this client are not renewed until an operator issues a new one',
      ),
    );
    const line = await copy.line((text) => (text.includes('HTTP 401') ? text : undefined));
    assert.match(line, /The token was replaced: .* the renewed token is in the state directory/);
    const metrics = await (await stage.fetch('/metrics')).text();
    assert.match(metrics, /^backhaul_agents_refused_total\{reason="token_replaced"\} [1-9]/m);
    assert.match(metrics, /^backhaul_token_renewals_total\{outcome="stored"\} [1-9]/m);
    await copy.stop();
    await second.stop();

    const before = await kept();
    const later = await stage.tokens.sign('agent', { subject: 'till-2', expiresAt: expiryOf(before) + 3600 });
    await writeFile(tokenFile, later);
    const third = start();
    await third.line(logged('connected'));
    const { token_expires_at: ends } = await stage.client.getStatus('till-2');
    assert.equal(ends, new Date(expiryOf(later) * 1000).toISOString());
    await third.stop();
  });

  test('is not sent to an agent that cannot keep it', async () => {
    const old = await machine('till-3');
    const other = await machine('till-4');
    const oldAgent = old.start({ keeps: false });
    await oldAgent.line(logged('connected'));
    const agent = other.start();
    // The server handles the first connection first.
    await stage.server.line(ofClient('till-4', STORED));
    assert.ok(!linesOf(stage.server, 'renewed token sent to the agent').includes('till-3'));
    await oldAgent.stop();
    await agent.stop();
  });

  test('is whole or not there when its agent is killed while it writes', async () => {
    const { given, state, start, kept } = await machine('till-5');
    const preload = fileURLToPath(new URL('../faults/injection/killed-rename-preload.ts', import.meta.url));
    const killed = start({ nodeFlags: [`--import=${preload}`] });
    await killed.line(logged('connected'));
    assert.equal((await killed.exit).signal, 'SIGKILL');
    assert.deepEqual(await readdir(state), ['token.json.new']);
    const again = start();
    await again.line(logged(RENEWED));
    assert.notEqual(await kept(), given);
    assert.deepEqual(await readdir(state), ['token.json']);
    await again.stop();
    const last = start();
    await last.line(logged('connected'));
    await last.stop();
  });

  test('is signed with the new secret during a change-over, so that the old one can go', async () => {
    const now = Math.floor(Date.now() / 1000);
    const { tokenFile, start } = await machine('till-6');
    await writeFile(
      tokenFile,
      await stage.tokens.sign('agent', { subject: 'till-6', expiresAt: now + 3600 }),
    );
    const agent = start();
    await agent.line(logged('connected'));
    const next = new TokenSigner('the secret that replaces the one of before');
    const env = { JWT_SECRET: next.secret };
    await stage.restartServer({ env: { ...env, JWT_SECRET_PREVIOUS: stage.tokens.secret } });
    await stage.server.line(ofClient('till-6', STORED));
    const { findings } = await stage.client.diagnosis();
    const previous = findings.find(({ name }) => name === 'previous_secret');
    assert.match(previous?.detail ?? '', /^0 connected agents use tokens of JWT_SECRET_PREVIOUS/);
    await stage.restartServer({ env });
    await stage.server.line(ofClient('till-6', 'agent connected'));
    await agent.stop();
  });
});

function expiryOf(token: string): number {
  const [, payload = ''] = token.split('.');
  return (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { exp: number }).exp;
}

function linesOf(program: Program, message: string): string {
  const lines = program.output.stdout.split('\n');
  return lines.filter((line) => logged(message)(line) !== undefined).join('\n');
}
