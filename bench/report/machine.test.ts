import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { describeCommit, describeMachine, machineSchema } from './machine.ts';
import { peerVersions } from './peer-versions.ts';

const { signal } = new AbortController();

test('a machine is described as it is', async () => {
  const now = new Date('2026-01-02T03:04:05Z');
  const machine = machineSchema.parse(await describeMachine({ now, signal }));
  assert.equal(machine.node, process.version);
  assert.equal(machine.cores, os.availableParallelism());
  assert.ok(machine.memoryBytes > 1e8);
  assert.match(machine.kernel, new RegExp(os.release().replaceAll('.', '\\.')));
  assert.equal(machine.measuredAt, '2026-01-02T03:04:05.000Z');
});

test('a commit is dirty while programs have changes, not for results', async () => {
  await using directory = await temporaryDirectory();
  const git = (...args: string[]) =>
    promisify(execFile)('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
      cwd: directory.path,
    });
  await git('init', '-q');
  await git('commit', '-q', '--allow-empty', '-m', 'First');
  const { stdout } = await git('rev-parse', '--short=12', 'HEAD');
  const clean = { revision: stdout.trim(), dirty: false };
  for (const name of ['docs', 'packages']) await mkdir(directory.join(name));
  await writeFile(directory.join('docs', 'results.json'), '{}');
  assert.deepEqual(await describeCommit(directory.path, signal), clean);
  await writeFile(directory.join('packages', 'a.ts'), '');
  assert.deepEqual(await describeCommit(directory.join('docs'), signal), { ...clean, dirty: true });
});

test('without a repository the commit is unknown, and an abort is no missing program', async () => {
  await using directory = await temporaryDirectory();
  assert.deepEqual(await describeCommit(directory.path, signal), { revision: 'unknown', dirty: false });
  await assert.rejects(describeCommit(directory.path, AbortSignal.abort()), { name: 'AbortError' });
});

const skip = process.platform === 'win32' && 'shell scripts stand for programs';

test('peers have the versions that they tell, and those that fail are left out', { skip }, async () => {
  await using directory = await temporaryDirectory();
  const script = async (name: string, text: string) => {
    await writeFile(directory.join(name), `#!/bin/sh\n${text}\n`);
    await chmod(directory.join(name), 0o755);
  };
  await script('rclone', 'echo "rclone v1.60.1-DEV"; echo "- os/version: debian"');
  await script('curl', 'echo "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1"');
  await script('aws', 'echo "aws-cli/2.1.0"; exit 127');
  const versions = await peerVersions({ env: { PATH: directory.path }, signal });
  assert.deepEqual(
    [versions['rclone'], versions['curl'], versions['aws']],
    ['1.60.1-DEV', '7.88.1', undefined],
  );
  assert.match(versions['@aws-sdk/s3-request-presigner'] ?? '', /^3\.\d+\.\d+$/);
});
