import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  realpath,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { AgentFixture, prepareMessage, runUpload } from '../../../../test/harness/agent/agent-fixture.ts';
import { gate } from '../../../../test/doubles/open-gate.ts';
import { listDirectory } from '../file/list-directory.ts';
import { openFile } from '../file/open-file.ts';
import { currentPlatform } from '../platform/current-platform.ts';
import { AllowList } from './allow-list.ts';
import { OwnFiles } from './own-files.ts';

const platform = currentPlatform();

interface Fixture {
  /** The allowed directory. */
  readonly root: string;
  /** Returns 'read', or the error code. */
  readonly read: (name: string) => Promise<string>;
  readonly list: (name: string) => Promise<string>;
}

/** Creates an allow-list that covers the token file and the directory of a dev server. */
async function withOwnFiles(use: (fixture: Fixture) => Promise<void>, base = tmpdir()): Promise<void> {
  const root = await realpath(await mkdtemp(join(base, 'backhaul-own-')));
  const [token, used] = [join(root, 'token'), join(root, 'used')];
  await writeFile(token, 'token');
  await mkdir(join(used, 'objects'), { recursive: true });
  await writeFile(join(used, 'dev.json'), 'secret');
  await writeFile(join(used, 'objects/blob'), 'object');
  const ownFiles = new OwnFiles({ files: [token], directories: [used], platform, gate });
  const allowList = new AllowList({ directories: [root], files: [], platform, gate, ownFiles });
  await allowList.problems();
  const outcome = (opened: Promise<unknown>) =>
    opened.then(
      () => 'read',
      (error: unknown) => (error instanceof BackhaulError ? error.code : String(error)),
    );
  try {
    await use({
      root,
      read: async (name) =>
        outcome(openFile(join(root, name), { allowList, platform, gate }).then((file) => file.close())),
      list: (name) =>
        outcome(
          listDirectory(
            join(root, name),
            { allowList, platform, gate },
            { signal: AbortSignal.timeout(20_000) },
          ),
        ),
    });
  } finally {
    await rm(root, { recursive: true });
  }
}

const refused = 'path_not_allowed';

test('the token file is never read, under any current or earlier name', () =>
  withOwnFiles(async ({ root, read }) => {
    assert.equal(await read('token'), refused);
    await link(join(root, 'token'), join(root, 'hard-link'));
    assert.equal(await read('hard-link'), refused);
    await rm(join(root, 'hard-link'));
    await rename(join(root, 'token'), join(root, 'old-token'));
    await writeFile(join(root, 'token'), 'renewed');
    assert.equal(await read('token'), refused, 'the new one');
    assert.equal(await read('old-token'), refused, 'the one that was replaced');
    await rm(join(root, 'old-token'));
    await writeFile(join(root, 'report'), 'report');
    assert.equal(await read('report'), 'read');
  }));

test('if the token file is a link, its target is protected', () =>
  withOwnFiles(async ({ root, read }) => {
    await writeFile(join(root, 'real-token'), 'token');
    assert.equal(await read('real-token'), 'read');
    await rm(join(root, 'token'));
    await symlink(join(root, 'real-token'), join(root, 'token'));
    assert.equal(await read('real-token'), refused);
  }));

test('an own directory is never read or listed, nor are files linked or renamed out of it', () =>
  withOwnFiles(async ({ root, read, list }) => {
    for (const name of ['used/dev.json', 'used/objects/blob']) assert.equal(await read(name), refused);
    for (const name of ['used', 'used/objects']) assert.equal(await list(name), refused);
    assert.equal(await list('.'), 'read', 'its name is not a secret');
    await link(join(root, 'used/objects/blob'), join(root, 'hard-link'));
    assert.equal(await read('hard-link'), refused);
    await rm(join(root, 'hard-link'));
    await rename(join(root, 'used/dev.json'), join(root, 'moved.json'));
    assert.equal(await read('moved.json'), refused, 'the secret, moved out');
    await rename(join(root, 'moved.json'), join(root, 'used/dev.json'));
    await rename(join(root, 'used'), join(root, 'renamed'));
    assert.equal(await read('renamed/dev.json'), refused);
    assert.equal(await list('renamed/objects'), refused);
  }));

test('a dev server’s directory is protected by its name, wherever it is', () =>
  withOwnFiles(async ({ root, read, list }) => {
    await mkdir(join(root, 'project/.backhaul'), { recursive: true });
    await writeFile(join(root, 'project/.backhaul/dev.json'), 'secret');
    await writeFile(join(root, 'project/.backhauls'), 'report');
    await symlink(join(root, 'project/.backhaul'), join(root, 'alias'));
    assert.equal(await read('project/.backhaul/dev.json'), refused);
    assert.equal(await read('alias/dev.json'), refused);
    assert.equal(await list('project/.backhaul'), refused);
    assert.equal(await read('project/.backhauls'), 'read');
  }));

test('each token that was read stays protected, however often the file is replaced between uploads', async () => {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-own-')));
  const token = join(root, 'token');
  const write = async (content: string) => {
    await writeFile(token, content);
    await chmod(token, 0o600);
  };
  await write('first');
  await using fixture = await AgentFixture.start({
    config: { allow: [root], token: { kind: 'file', path: token } },
  });
  const before = await fixture.server.acceptAndWelcome();
  for (const [oldName, renewed] of [
    ['token.1', 'second'],
    ['token.2', 'third'],
  ] as const) {
    await rename(token, join(root, oldName));
    await write(renewed);
    if (oldName === 'token.2') break;
    before.socket.terminate();
    await fixture.server.accept().then((session) => session.socket.terminate());
  }
  const session = await fixture.server.acceptAndWelcome();
  for (const name of ['token', 'token.1', 'token.2']) {
    const final = await runUpload(session, fixture.store, join(root, name));
    assert.ok(final.status === 'failed', name);
    assert.equal(final.error, refused);
  }
  await writeFile(join(root, 'report'), 'report');
  session.send(prepareMessage(join(root, 'report')));
  await session.next('prepared');
  await rm(root, { recursive: true });
});

test('without birth times an old token stays protected, and a new file with its inode is read', async (t) => {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-own-')));
  const [image, mount] = [join(base, 'image'), join(base, 'mount')];
  await mkdir(mount);
  await writeFile(image, '');
  await truncate(image, 4 * 1024 * 1024);
  // Inodes of 128 bytes have no birth time.
  const made = spawnSync('mkfs.ext4', ['-q', '-F', '-I', '128', '-O', '^has_journal', image]).status === 0;
  if (!made || spawnSync('mount', ['-o', 'loop', image, mount]).status !== 0) {
    await rm(base, { recursive: true });
    t.skip('creating and mounting a file system requires root and mkfs.ext4');
    return;
  }
  try {
    await withOwnFiles(async ({ root, read }) => {
      const [token, old] = [join(root, 'token'), join(root, 'old-token')];
      const { ino, birthtimeNs } = await lstat(token, { bigint: true });
      assert.equal(birthtimeNs, 0n);
      await rename(token, old);
      await writeFile(token, 'renewed');
      assert.equal(await read('old-token'), refused);
      await rm(old);
      await writeFile(join(root, 'report'), 'a report');
      assert.equal((await lstat(join(root, 'report'), { bigint: true })).ino, ino, 'the old inode');
      assert.equal(await read('report'), 'read');
    }, mount);
  } finally {
    execFileSync('umount', [mount]);
    await rm(base, { recursive: true });
  }
});
