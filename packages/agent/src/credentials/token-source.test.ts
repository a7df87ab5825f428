import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tokenSource } from './token-source.ts';

const TOKEN = 'header.payload.signature';

/** Creates a directory in which neither a private parent nor a memory file system protects the token. */
async function openDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp('/var/tmp/backhaul-token-');
  t.after(() => rm(directory, { recursive: true }));
  await chmod(directory, 0o755);
  return directory;
}

function read(path: string): Promise<string> {
  return tokenSource({ kind: 'file', path }, { clientId: 'till-1', wallSeconds: () => 0 })();
}

test('a token file that every user can read or write is refused with an error that names the fix', async (t) => {
  const directory = await openDirectory(t);
  const path = join(directory, 'token');
  await writeFile(path, `${TOKEN}\n`);
  for (const mode of [0o644, 0o604, 0o602, 0o666, 0o444]) {
    await chmod(path, mode);
    await assert.rejects(read(path), (error: Error) => {
      assert.match(error.message, new RegExp(`mode ${mode.toString(8)}\\): chmod 600 ${path}$`));
      return !error.message.includes(TOKEN);
    });
  }
  for (const mode of [0o600, 0o400, 0o440, 0o640]) {
    await chmod(path, mode);
    assert.equal(await read(path), TOKEN, mode.toString(8));
  }
});

test('a file in a directory that other users cannot enter may have any mode, also through a link', async (t) => {
  const directory = await openDirectory(t);
  await mkdir(join(directory, 'private', 'inner'), { recursive: true });
  await chmod(join(directory, 'private'), 0o700);
  const path = join(directory, 'private', 'inner', 'token');
  await writeFile(path, TOKEN);
  await chmod(path, 0o644);
  await symlink(path, join(directory, 'link'));
  assert.equal(await read(path), TOKEN);
  assert.equal(await read(join(directory, 'link')), TOKEN);
  await chmod(join(directory, 'private'), 0o711);
  await assert.rejects(read(join(directory, 'link')), /chmod 600/);
});

test('a secret on a memory file system, as in containers, may have any mode', async (t) => {
  const memory = await statfs('/dev/shm').catch(() => undefined);
  if (memory?.type !== 0x0102_1994) return t.skip('no tmpfs at /dev/shm');
  const path = `/dev/shm/backhaul-token-${process.pid}`;
  t.after(() => rm(path));
  await writeFile(path, TOKEN);
  await chmod(path, 0o644);
  assert.equal(await read(path), TOKEN);
});
