import assert from 'node:assert/strict';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';

test('neither tokens nor presigned queries reach a log or the database', async () => {
  await using stage = await Stage.start({ env: { LOG_LEVEL: 'trace' } });
  const file = stage.directory.join('report.bin');
  await writeFile(file, Buffer.alloc(6 * 1024 * 1024, 7));
  const now = Math.floor(Date.now() / 1000);
  // The token is due for renewal.
  const agentToken = await stage.tokens.sign('agent', {
    subject: 'till',
    issuedAt: now - 3000,
    expiresAt: now + 600,
  });
  await writeFile(stage.directory.join('token'), agentToken, { mode: 0o600 });
  const agent = await stage.startAgent('till', [
    ...['--file', file, '--log-level', 'debug', '--token-file', stage.directory.join('token')],
    ...['--state-directory', stage.directory.join('state')],
  ]);
  await stage.server.line(logged('renewed token stored by the agent'));
  const state = await readFile(stage.directory.join('state/token.json'), 'utf8');
  const { token: renewedToken } = JSON.parse(state) as { token: string };

  const record = await stage.pull('till', {});
  assert.equal(record.status, 'completed', record.message ?? '');
  const content = await stage.client.contentUrl(record.upload_id);
  assert.match(content, /X-Amz-Signature=[0-9a-f]{64}/, 'the URL given out is what is looked for');
  const saved = await stage.cli('content', record.upload_id, '--output', stage.directory.join('copy.bin'));
  assert.equal(saved.code, 0, saved.stderr);
  await stage.pull('till', { file_path: '/outside' });
  // Clients may put tokens into these wrong locations.
  const lost = 'eyJhbGciOiJIUzI1NiJ9.bG9zdA.c2lnbmF0dXJl';
  await fetch(`${stage.url}/uploads?access_token=${lost}`);
  await fetch(`${stage.url}/nowhere?X-Amz-Signature=${'a'.repeat(64)}`);
  await fetch(`${stage.url}/uploads`, { headers: { authorization: `Bearer ${lost}`, cookie: lost } });

  const secrets = [
    'x-amz-signature',
    'x-amz-credential',
    stage.s3.secretAccessKey,
    stage.tokens.secret,
    stage.operatorToken,
    agentToken,
    signatureOf(agentToken),
    renewedToken,
    signatureOf(renewedToken),
    signatureOf(stage.operatorToken),
    signatureOf(lost),
  ];
  // Reads the files while the server runs: afterwards the write-ahead log is merged into the database.
  const places = await databaseFiles(stage);
  assert.ok(
    Object.keys(places).some((name) => name.endsWith('-wal')),
    Object.keys(places).join(', '),
  );
  await stage.server.stop();
  await agent.stop();
  Object.assign(places, await databaseFiles(stage), {
    'the server’s stdout': stage.server.output.stdout,
    'the server’s stderr': stage.server.output.stderr,
    'the agent’s stdout': agent.output.stdout,
    'the agent’s stderr': agent.output.stderr,
  });
  assert.match(places['the server’s stdout'] ?? '', new RegExp(record.upload_id));
  assert.match(places['the agent’s stderr'] ?? '', new RegExp(record.upload_id));
  for (const [place, text] of Object.entries(places)) {
    const lower = text.toLowerCase();
    for (const [index, secret] of secrets.entries()) {
      assert.ok(!lower.includes(secret.toLowerCase()), `secret ${index} is in ${place}`);
    }
  }
});

async function databaseFiles(stage: Stage): Promise<Record<string, string>> {
  const names = (await readdir(stage.directory.path)).filter((name) => name.includes('.sqlite'));
  assert.ok(names.length > 0);
  return Object.fromEntries(
    await Promise.all(
      names.map(async (name) => [name, await readFile(stage.directory.join(name), 'latin1')] as const),
    ),
  );
}

function signatureOf(token: string): string {
  const [, , signature = ''] = token.split('.');
  assert.ok(signature.length > 8);
  return signature;
}
