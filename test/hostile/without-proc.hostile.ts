import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';

/** Runs the agent in its own mount namespace, in which /proc can be hidden from it alone. */
const ownMounts = ['unshare', '--mount', '--propagation', 'private'] as const;
const hideProc = ['mount', '-t', 'tmpfs', 'none', '/proc'] as const;

const skip =
  spawnSync('unshare', ['--mount', 'true']).status === 0
    ? false
    : 'a mount namespace of its own is needed, which this user may not make; run this on Linux as root';

test('on Linux without /proc the agent does not start, and says what to do', { skip }, async () => {
  const through = [...ownMounts, 'sh', '-c', `${hideProc.join(' ')} && exec "$@"`, 'sh'];
  const args = ['--client-id', 'a', '--server-url', 'ws://127.0.0.1:1', '--allow', '/tmp'];
  await using agent = new Program('backhaul-agent', { args, env: { BACKHAUL_TOKEN: 'token' }, through });
  const { code, stderr } = await agent.exit;
  assert.equal(code, 2, stderr);
  assert.match(stderr, /\/proc\/self\/fd does not work.*Mount \/proc/);
});

test('when /proc goes away later, files are refused and never opened on trust', { skip }, async () => {
  await using stage = await Stage.start();
  const path = stage.directory.join('report.bin');
  await writeFile(path, 'report');
  const agent = await stage.startAgent('a', ['--allow', stage.directory.path], { through: ownMounts });
  const before = await stage.pull('a', { file_path: path });
  assert.equal(before.status, 'completed', before.message ?? '');
  execFileSync('nsenter', ['--target', String(agent.pid), '--mount', ...hideProc]);
  const after = await stage.pull('a', { file_path: path, force: true });
  assert.equal(after.error, 'path_not_allowed');
  assert.match(after.message ?? '', /mount \/proc/);
  const list = await stage.cli('ls', 'a', stage.directory.path);
  assert.equal(list.code, 6, list.stderr);
});
