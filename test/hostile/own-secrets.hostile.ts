import assert from 'node:assert/strict';
import { link, readFile, rename, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { BackhaulClient } from '@backhaul/client';
import { DEV_FILE, devFileSchema } from '@backhaul/protocol/dev-file';
import { Program, logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

test('an agent next to --dev with --allow . sends nothing of .backhaul/', async () => {
  await using place = await temporaryDirectory();
  await using server = new Program('backhaul-server', { args: ['--dev', '--port', '0'], cwd: place.path });
  await server.line((line) => (line.includes('ready at') ? true : undefined), { deadlineMs: 120_000 });
  const dev = devFileSchema.parse(JSON.parse(await readFile(place.join(DEV_FILE), 'utf8')));
  const args = ['--client-id', 'a', '--allow', '.', '--log-format', 'json'];
  await using agent = new Program('backhaul-agent', {
    args: [...args, '--server-url', dev.server_url],
    cwd: place.path,
  });
  await agent.line(logged('connected'), { deadlineMs: 120_000 });
  const client = new BackhaulClient({ url: dev.server_url, token: dev.operator_token });
  const pull = async (file: string) => {
    const { upload_id: id } = await client.triggerDownload('a', { file_path: file, force: true });
    for await (const record of client.followUpload(id)) {
      if (record.completed_at !== null) return record.error ?? record.status;
    }
    return 'no end';
  };

  await writeFile(place.join('report.txt'), 'report');
  assert.equal(await pull(place.join('report.txt')), 'completed');
  await link(place.join(DEV_FILE), place.join('linked.json'));
  const files = [DEV_FILE, '.backhaul/state.json', '.backhaul/../.backhaul/dev.json', 'linked.json'];
  for (const file of files) assert.equal(await pull(place.join(file)), 'path_not_allowed', file);
  await rename(place.join(DEV_FILE), place.join('renamed.json'));
  assert.equal(await pull(place.join('renamed.json')), 'path_not_allowed');
  await rename(place.join('renamed.json'), place.join(DEV_FILE));
  const listing = client.runCommand('a', 'list_directory', { path: place.join('.backhaul') });
  await assert.rejects(listing, { code: 'path_not_allowed' });
});

test('a token file below an allowed directory is never sent, also after it was replaced', async () => {
  await using stage = await Stage.start();
  const path = stage.directory.join('token');
  await writeFile(path, await stage.tokens.agent('a'));
  const args = ['--client-id', 'a', '--server-url', stage.webSocketUrl, '--log-format', 'json'];
  const agent = stage.spawnAgent({ args: [...args, '--token-file', path, '--allow', stage.directory.path] });
  await agent.line(logged('connected'));
  const code = async (file: string) => (await stage.pull('a', { file_path: file, force: true })).error;
  assert.equal(await code(path), 'path_not_allowed');
  await rename(path, `${path}.old`);
  await writeFile(path, await stage.tokens.agent('a'));
  assert.equal(await code(path), 'path_not_allowed');
  assert.equal(await code(`${path}.old`), 'path_not_allowed');
  await link(path, `${path}.link`);
  assert.equal(await code(`${path}.link`), 'path_not_allowed');
});
