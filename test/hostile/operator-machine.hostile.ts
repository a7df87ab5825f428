import assert from 'node:assert/strict';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { AgentSocket } from '../protocol/agent-socket.ts';
import { PretendFile } from '../protocol/pretend-file.ts';
import { plainHello } from '../protocol/suite-client.ts';
import { Stage } from '../harness/stage.ts';

/** Names that an agent could send in place of `pretended.bin`, to change the location or kind of the saved file. */
const hostileNames = [
  ...['deploy.sh', 'linked.bin', 'dangling.bin', 'folder', '.bashrc', '.ssh/authorized_keys', '-rf', '~'],
  ...[
    '.',
    '..',
    '../outside/victim',
    '../../../../tmp/victim',
    '/etc/passwd',
    'folder/victim',
    './deploy.sh',
  ],
  ...[
    'C:\\victim',
    '\\\\host\\share\\x',
    '..\\outside\\victim',
    'NUL',
    'con.txt',
    'COM1',
    'deploy.sh.',
    'deploy.sh ',
  ],
  ...[
    'pretended.bin\0',
    'deploy\0.sh',
    'pretended.bin/',
    'pretended.bin\n',
    'pretended\u202enib.bin',
    '\u009b2J',
  ],
  ...['pretended.bin::$DATA', 'pretended.bin\u200f', 'a'.repeat(1024), '\ud800', 'pretended.bin%2f..%2fx'],
];

/** Default paths of an agent, used when the operator names no file. */
const hostilePaths = [
  '/data/deploy.sh',
  '/data/linked.bin',
  '/data/dangling.bin',
  '/data/folder',
  '/x/..\\deploy.sh',
];

/** Creates an operator's directory with files at risk inside and outside of it. */
async function trappedDirectory(stage: Stage): Promise<{ inside: string; seen: () => Promise<string[]> }> {
  const inside = stage.directory.join('operator');
  const outside = stage.directory.join('outside');
  await mkdir(path.join(inside, 'folder'), { recursive: true });
  await mkdir(outside);
  await writeFile(path.join(outside, 'victim'), 'outside');
  await writeFile(path.join(inside, 'deploy.sh'), '#!/bin/sh\n');
  await chmod(path.join(inside, 'deploy.sh'), 0o755);
  await symlink('../outside/victim', path.join(inside, 'linked.bin'));
  await symlink('../outside/new', path.join(inside, 'dangling.bin'));
  return { inside, seen: async () => [...(await treeOf(inside)), ...(await treeOf(outside))] };
}

/** Lists every entry with type, mode, inode and content. */
async function treeOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true });
  return await Promise.all(
    entries.toSorted().map(async (entry) => {
      const file = path.join(directory, entry);
      const found = await lstat(file);
      const content = found.isSymbolicLink()
        ? await readlink(file)
        : found.isFile()
          ? await readFile(file, 'utf8')
          : '';
      return `${file} ${found.mode.toString(8)} ${found.ino} ${content}`;
    }),
  );
}

async function connect(stage: Stage, hello: Readonly<Record<string, unknown>> = {}): Promise<AgentSocket> {
  const socket = await AgentSocket.open({
    url: `${stage.webSocketUrl}/ws/connect`,
    authorization: `Bearer ${await stage.tokens.agent('hostile')}`,
  });
  assert.ok(socket instanceof AgentSocket);
  socket.send({ ...plainHello, ...hello });
  await socket.next('welcome');
  return socket;
}

/** Serves one pull of `file` and sends hostile names in its messages. */
async function serve(
  socket: AgentSocket,
  file: PretendFile,
  { prepared = file.name, completed = file.name }: { prepared?: string; completed?: string } = {},
): Promise<void> {
  const request = await socket.next('prepare_upload');
  const { upload_id, attempt } = request;
  socket.send({ ...file.prepared(request), file_name: prepared });
  if (prepared !== file.name) return;
  const download = await socket.next('download_file', (one) => one.upload_config.upload_id === upload_id);
  const [signed] = download.upload_config.presigned_urls;
  assert.ok(signed);
  const body = new Uint8Array(file.bytes);
  const answer = await fetch(signed.url, { method: 'PUT', headers: signed.headers, body });
  assert.equal(answer.status, 200, await answer.text());
  const parts = [{ part_number: 1, etag: answer.headers.get('etag') }];
  socket.send({
    ...{ status: 'completed', upload_id, attempt, file_name: completed, size: file.size, parts },
    upload_duration_ms: 1,
  });
}

test('no name that an agent answers becomes the name of a file', async (t) => {
  await using stage = await Stage.start();
  const socket = await connect(stage);
  const file = new PretendFile(1000);
  let refused = 0;
  for (const name of hostileNames) {
    for (const when of ['prepared', 'completed'] as const) {
      const { upload_id } = await stage.client.triggerDownload('hostile', {
        file_path: file.path,
        force: true,
      });
      await serve(socket, file, { [when]: name });
      const record = await stage.ended(upload_id);
      assert.deepEqual([record.status, record.error], ['failed', 'protocol_error'], JSON.stringify(name));
      assert.equal(record.file_name, 'pretended.bin');
      refused += 1;
    }
  }
  await socket.close();
  t.diagnostic(`${refused} hostile names refused`);
});

test(
  'nothing in the operator’s directory is replaced, followed or added but the file asked for',
  { timeout: 600_000 },
  async (t) => {
    await using stage = await Stage.start();
    const file = new PretendFile(1000);
    const { inside, seen } = await trappedDirectory(stage);
    const before = await seen();
    let runs = 0;

    const run = async (...args: string[]): Promise<number | null> => {
      runs += 1;
      await using program = stage.startCli(args);
      return (await program.exit).code;
    };
    const download = ['download', '--client-id', 'hostile', '--output', inside];

    // The operator names one file, the agent another.
    {
      const socket = await connect(stage);
      for (const name of ['deploy.sh', 'linked.bin', '../outside/victim', '.bashrc']) {
        const [code] = await Promise.all([
          run(...download, '--file', file.path, '--force', '--overwrite'),
          serve(socket, file, { prepared: name }),
        ]);
        assert.equal(code, 1, name);
      }
      assert.deepEqual(await seen(), before);
      await socket.close();
    }

    // The operator names no file: the agent's own --file is used.
    for (const default_file_path of hostilePaths) {
      const socket = await connect(stage, { default_file_path });
      assert.equal(await run(...download), 2, default_file_path);
      assert.equal(await run(...download, '--overwrite'), 2, 'not by a name that only the agent says');
      assert.deepEqual(await seen(), before);
      const [upload] = (await stage.client.getStatus('hostile')).active_uploads;
      if (upload !== undefined) await stage.client.cancelUpload(upload.upload_id);
      await socket.close();
    }

    // Files with the names that the operator requests exist: content and download do not change them.
    const socket = await connect(stage);
    const { upload_id } = await stage.client.triggerDownload('hostile', { file_path: '/data/linked.bin' });
    await serve(socket, Object.assign(new PretendFile(1000), { name: 'linked.bin' }));
    assert.equal((await stage.ended(upload_id)).status, 'completed');
    for (const output of [inside, path.join(inside, 'linked.bin'), path.join(inside, 'dangling.bin')]) {
      assert.equal(await run('content', upload_id, '--output', output), 2);
    }
    assert.equal(await run('content', upload_id), 2);
    assert.deepEqual(await seen(), before);

    // An honest pull arrives without permission to execute.
    const [code] = await Promise.all([run(...download, '--file', file.path), serve(socket, file)]);
    assert.equal(code, 0);
    const after = await seen();
    const added = after.filter((entry) => !before.includes(entry));
    assert.equal(after.length, before.length + 1);
    assert.match(added.join(), new RegExp(`^${path.join(inside, file.name)} 100[0-6]{3} `));
    await socket.close();
    t.diagnostic(`${runs} runs of the command line in a directory with traps, ${added.length} file added`);
  },
);
