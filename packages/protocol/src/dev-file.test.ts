import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DevFileError, readDevFile } from './dev-file.ts';

const fields = { server_url: 'http://localhost:1', operator_token: 'dev-token', jwt_secret: 's', pid: 1 };

async function devFile(t: TestContext, text = JSON.stringify(fields)): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-dev-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'dev.json');
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

function refusal(path: string): string {
  try {
    readDevFile(path);
  } catch (error) {
    assert.ok(error instanceof DevFileError, String(error));
    return error.message;
  }
  return assert.fail(`${path} was used`);
}

test('the file of this user’s server is used; a missing file is not an error', async (t) => {
  const path = await devFile(t);
  assert.deepEqual(readDevFile(path), fields);
  assert.equal(readDevFile(`${path}.none`), null);
  assert.equal(readDevFile(join(path, 'none')), null);
});

test('a file or directory that others can read or write, or that belongs to another user, is not trusted', async (t) => {
  const path = await devFile(t);
  const directory = join(path, '..');
  for (const [target, wrong, right, said] of [
    [path, 0o666, 0o600, /written by other users \(mode 666\)/],
    [path, 0o620, 0o600, /written/],
    [path, 0o602, 0o600, /written/],
    [path, 0o644, 0o600, /read by other users/],
    [path, 0o640, 0o600, /read/],
    [directory, 0o770, 0o700, /written/],
    [directory, 0o777, 0o755, /written/],
  ] as const) {
    await chmod(target, wrong);
    assert.match(refusal(path), said);
    await chmod(target, right);
  }
  assert.deepEqual(readDevFile(path), fields);
});

test('another user’s file is not trusted', { skip: process.getuid?.() !== 0 }, async (t) => {
  const path = await devFile(t);
  for (const target of [path, join(path, '..')]) {
    await chown(target, 65_534, 65_534);
    assert.match(refusal(path), /belongs to another user \(uid 65534\)/);
    await chown(target, 0, 0);
  }
  assert.deepEqual(readDevFile(path), fields);
});

test('a named pipe and a directory are refused without blocking', async (t) => {
  const path = await devFile(t);
  assert.equal(spawnSync('mkfifo', ['-m', '600', `${path}.pipe`]).status, 0);
  assert.match(refusal(`${path}.pipe`), /not a regular file/);
  await mkdir(`${path}.directory`);
  assert.match(refusal(`${path}.directory`), /not a regular file/);
  await symlink('/dev/null', `${path}.null`);
  assert.match(refusal(`${path}.null`), /not a regular file/);
});

test('a server on another machine is refused', async (t) => {
  for (const host of ['example.com', '192.168.0.1', 'localhost.example.com']) {
    const path = await devFile(t, JSON.stringify({ ...fields, server_url: `http://${host}:8080` }));
    assert.match(refusal(path), /another machine/);
  }
});

test('a damaged file is refused without showing its content', async (t) => {
  const cut = await devFile(t, JSON.stringify(fields).slice(0, -5));
  assert.match(refusal(cut), /is not JSON$/);
  assert.match(refusal(await devFile(t, '{"server_url":"http://localhost"}')), /operator_token/);
});
