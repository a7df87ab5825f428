import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BackhaulError, type ErrorCode } from '@backhaul/protocol';
import { linux } from '../platform/linux.ts';
import { AllowList } from '../policy/allow-list.ts';
import { OpenedFile, openFile } from './open-file.ts';

/** `root/` is allowed, `outside/` is not. */
async function withPlaces(use: (places: Places) => Promise<void>): Promise<void> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-open-')));
  const root = join(base, 'root');
  const outside = join(base, 'outside');
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, 'secret'), 'secret');
  await writeFile(join(root, 'report'), 'report');
  try {
    await use({ base, root, outside, open: (path) => tryOpen(path, [root], null) });
  } finally {
    await rm(base, { recursive: true });
  }
}

interface Places {
  readonly base: string;
  readonly root: string;
  readonly outside: string;
  readonly open: (path: string) => Promise<string>;
}

/** Its content, or the code it was refused with. */
async function tryOpen(path: string, directories: string[], file: string | null): Promise<string> {
  const allowList = new AllowList({ directories, file, platform: linux });
  try {
    await using opened = await openFile(path, { allowList, platform: linux });
    const buffer = Buffer.alloc(opened.sizeBytes);
    await opened.readFully(buffer, 0);
    return `read: ${buffer.toString()}`;
  } catch (error) {
    assert.ok(error instanceof BackhaulError, String(error));
    return error.code;
  }
}

const refused: ErrorCode = 'path_not_allowed';

test('a file under an allowed directory is read, at any depth', () =>
  withPlaces(async ({ root, open }) => {
    await mkdir(join(root, 'a/b'), { recursive: true });
    await writeFile(join(root, 'a/b/c'), 'deep');
    assert.equal(await open(join(root, 'report')), 'read: report');
    assert.equal(await open(join(root, 'a/b/c')), 'read: deep');
    assert.equal(await open(`${root}/a/../report`), 'read: report');
  }));

test('a pseudo file, which holds more than its size says, is file_changed', async () => {
  const handle = await open('/proc/self/status');
  await using file = new OpenedFile(handle, {
    path: '/proc/self/status',
    place: '/proc/self/status',
    name: 'status',
    sizeBytes: 0,
    fingerprint: { device: '1', inode: '1', size: '0', mtime_ns: '1', ctime_ns: '1' },
    modifiedAt: '2025-01-01T00:00:00Z',
    onChange: 'fail',
    platform: linux,
  });
  await assert.rejects(file.assertEnds(), { code: 'file_changed' });
});

test('a change is seen before one of the next PUTs, if not before each', { timeout: 10_000 }, ({ signal }) =>
  withPlaces(async ({ root }) => {
    const path = join(root, 'report');
    const allowList = new AllowList({ directories: [root], file: null, platform: linux });
    await using opened = await openFile(path, { allowList, platform: linux });
    await opened.assertUnchanged();
    await writeFile(path, 'another report');
    await assert.rejects(
      async () => {
        for (;;) {
          await opened.assertUntouched();
          await setImmediate(undefined, { signal });
        }
      },
      { code: 'file_changed' },
    );
  }),
);

test('an empty allow-list allows nothing', () =>
  withPlaces(async ({ root }) => {
    assert.equal(await tryOpen(join(root, 'report'), [], null), refused);
  }));

test('outside the list the answer does not tell whether a file is there', () =>
  withPlaces(async ({ root, outside, base, open }) => {
    for (const path of [
      join(outside, 'secret'),
      join(outside, 'nothing'),
      `${root}/../outside/secret`,
      `${root}/../outside/nothing`,
      `${base}/rootless`,
      '/etc/passwd',
      '/',
    ]) {
      assert.equal(await open(path), refused, path);
    }
  }));

test('a directory whose name begins with an allowed one is not allowed', () =>
  withPlaces(async ({ base, open }) => {
    await mkdir(join(base, 'root-2'));
    await writeFile(join(base, 'root-2/file'), 'other');
    assert.equal(await open(join(base, 'root-2/file')), refused);
  }));

test('a symbolic link as the last component is refused, wherever it leads', () =>
  withPlaces(async ({ root, outside, open }) => {
    await symlink(join(outside, 'secret'), join(root, 'out'));
    await symlink(join(root, 'report'), join(root, 'in'));
    await symlink(join(root, 'nowhere'), join(root, 'dangling'));
    for (const name of ['out', 'in', 'dangling']) assert.equal(await open(join(root, name)), refused);
  }));

test('a linked directory that leads out is refused, and does not tell what is there', () =>
  withPlaces(async ({ root, outside, open }) => {
    await mkdir(join(outside, 'sub'));
    await symlink(outside, join(root, 'door'));
    for (const path of ['door/secret', 'door/nothing', 'door/sub/nothing', 'door/no/such/place']) {
      assert.equal(await open(join(root, path)), refused, path);
    }
  }));

test('a linked directory that stays inside is followed, and a missing file there is not found', () =>
  withPlaces(async ({ root, open }) => {
    await mkdir(join(root, 'real'));
    await writeFile(join(root, 'real/file'), 'inside');
    await symlink(join(root, 'real'), join(root, 'alias'));
    assert.equal(await open(join(root, 'alias/file')), 'read: inside');
    assert.equal(await open(join(root, 'alias/missing')), 'file_not_found');
  }));

test('an allowed directory may itself be a link', () =>
  withPlaces(async ({ base, root }) => {
    await symlink(root, join(base, 'link'));
    assert.equal(await tryOpen(join(base, 'link/report'), [join(base, 'link')], null), 'read: report');
    assert.equal(
      await tryOpen(join(root, 'report'), [join(base, 'link')], null),
      refused,
      'by its allowed name only',
    );
  }));

test('an allowed directory that is replaced by a link after the start leads nowhere', () =>
  withPlaces(async ({ base, root, outside }) => {
    for (const kind of ['--allow', '--file']) {
      const own = join(base, `own${kind}`);
      await mkdir(own);
      await writeFile(join(own, 'secret'), 'harmless');
      const flags =
        kind === '--allow'
          ? { directories: [root, own], file: null }
          : { directories: [], file: join(own, 'secret') };
      const allowList = new AllowList({ ...flags, platform: linux });
      await allowList.findings();
      await rename(own, join(base, `moved${kind}`));
      await symlink(outside, own);
      const opened = openFile(join(own, 'secret'), { allowList, platform: linux });
      await assert.rejects(opened, { code: refused }, kind);
      await rm(own);
      await rename(join(base, `moved${kind}`), own);
      await using file = await openFile(join(own, 'secret'), { allowList, platform: linux });
      assert.equal(file.sizeBytes, 8);
    }
  }));

test('a directory swapped for a link between the check and the open is caught at the descriptor', () =>
  withPlaces(async ({ root, outside }) => {
    await mkdir(join(root, 'sub'));
    await writeFile(join(root, 'sub/secret'), 'harmless');
    const list = new AllowList({ directories: [root], file: null, platform: linux });
    let swapped = false;
    const racing = {
      admit: async (path: string) => {
        const admitted = await list.admit(path);
        await rename(join(root, 'sub'), join(root, 'moved'));
        await symlink(outside, join(root, 'sub'));
        swapped = true;
        return admitted;
      },
      confirm: (realPath: string, asked: string) => list.confirm(realPath, asked),
    } as AllowList;
    await assert.rejects(openFile(join(root, 'sub/secret'), { allowList: racing, platform: linux }), {
      code: refused,
    });
    assert.ok(swapped);
  }));

test('a file swapped between the look and the open neither blocks nor leads elsewhere', () =>
  withPlaces(async ({ root, outside }) => {
    const swaps: Array<[ErrorCode, (path: string) => void]> = [
      ['not_a_file', (path) => execFileSync('mkfifo', [path])],
      ['path_not_allowed', (path) => symlinkSync(join(root, 'report'), path)],
      ['path_not_allowed', (path) => symlinkSync(join(outside, 'secret'), path)],
      ['not_a_file', (path) => mkdirSync(path)],
    ];
    for (const [index, [code, swap]] of swaps.entries()) {
      const path = join(root, `swapped-${index}`);
      await writeFile(path, 'regular');
      const racing = {
        ...linux,
        // Read after the look and before the open.
        get fileFlags() {
          rmSync(path);
          swap(path);
          return linux.fileFlags;
        },
      };
      const allowList = new AllowList({ directories: [root], file: null, platform: linux });
      await assert.rejects(openFile(path, { allowList, platform: racing }), { code });
    }
  }));

test('--file is allowed alone: neither its neighbours nor its directory', () =>
  withPlaces(async ({ base, root }) => {
    await writeFile(join(root, 'neighbour'), 'other');
    const file = join(root, 'report');
    assert.equal(await tryOpen(file, [], file), 'read: report');
    assert.equal(await tryOpen(join(root, 'neighbour'), [], file), refused);
    assert.equal(await tryOpen(join(root, 'missing'), [], file), refused);
    assert.equal(await tryOpen(`${file}/x`, [], file), refused);
    await symlink(root, join(base, 'link'));
    const through = join(base, 'link/report');
    assert.equal(
      await tryOpen(through, [], through),
      'read: report',
      'links on the way to it are the owner’s',
    );
    await symlink(file, join(base, 'shortcut'));
    assert.equal(await tryOpen(join(base, 'shortcut'), [], join(base, 'shortcut')), refused);
    assert.equal(await tryOpen(join(base, 'gone'), [], join(base, 'gone')), 'file_not_found');
  }));

test('a directory, a FIFO, a socket and a device are not files, and a FIFO does not block', () =>
  withPlaces(async ({ root, open }) => {
    execFileSync('mkfifo', [join(root, 'fifo')]);
    await using server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'socket'), resolve));
    await mkdir(join(root, 'directory'));
    for (const name of ['fifo', 'socket', 'directory']) {
      assert.equal(await open(join(root, name)), 'not_a_file', name);
    }
  }));

test('kernel interfaces are never read, even with everything allowed', async () => {
  for (const path of [
    '/proc/self/environ',
    '/proc/1/cmdline',
    '/sys/kernel/notes',
    '/dev/zero',
    '/dev/shm/x',
  ]) {
    assert.equal(await tryOpen(path, ['/'], null), refused, path);
    assert.equal(await tryOpen(path, [], path), refused, `--file ${path}`);
  }
});

test('a link to a kernel interface is refused as well', () =>
  withPlaces(async ({ root }) => {
    await symlink('/proc/self', join(root, 'self'));
    assert.equal(await tryOpen(join(root, 'self/environ'), ['/', root], null), refused);
  }));

test('a missing file is not found, also below a file and below a missing allowed directory', () =>
  withPlaces(async ({ base, root, open }) => {
    assert.equal(await open(join(root, 'missing')), 'file_not_found');
    assert.equal(await open(join(root, 'no/such/place')), 'file_not_found');
    assert.equal(await open(join(root, 'report/below')), 'file_not_found');
    assert.equal(await tryOpen(join(base, 'unmounted/x'), [join(base, 'unmounted')], null), 'file_not_found');
  }));

test('names that cannot be are invalid_path', () =>
  withPlaces(async ({ root, open }) => {
    for (const path of ['relative/path', `${root}/a\0b`, `${root}/\u{FFFD}`, `${root}/\uD800`]) {
      assert.equal(await open(path), 'invalid_path', JSON.stringify(path));
    }
    assert.equal(await open(join(root, 'x'.repeat(300))), 'invalid_path');
  }));

test('a file that the agent’s user may not read is permission_denied', () =>
  withPlaces(async ({ base, root }) => {
    const path = join(root, 'private');
    await writeFile(path, 'private');
    await chmod(path, 0o000);
    for (const directory of [base, root]) await chmod(directory, 0o755);
    // Root may read everything, so a child gives its rights up; it loads all modules before.
    const script = `
      const { openFile } = await import(${JSON.stringify(import.meta.resolve('./open-file.ts'))});
      const { AllowList } = await import(${JSON.stringify(import.meta.resolve('../policy/allow-list.ts'))});
      const { linux } = await import(${JSON.stringify(import.meta.resolve('../platform/linux.ts'))});
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
      const allowList = new AllowList({ directories: [${JSON.stringify(root)}], file: null, platform: linux });
      await openFile(${JSON.stringify(path)}, { allowList, platform: linux }).then(
        () => console.log('opened'), (error) => console.log(error.code));`;
    const child = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    assert.equal((await child).stdout.trim(), 'permission_denied');
  }));
