import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BackhaulError, type ErrorCode } from '@backhaul/protocol';
import { darwin } from '../platform/darwin.ts';
import { gate } from '../../../../test/doubles/open-gate.ts';
import { linux } from '../platform/linux.ts';
import type { Platform } from '../platform/platform.ts';
import { AllowList } from '../policy/allow-list.ts';
import { listDirectory } from './list-directory.ts';
import { GatedFile } from './gated-file.ts';
import { OpenedFile, openFile } from './open-file.ts';
import { readClock, TimestampTrust } from './timestamp-trust.ts';

/** Creates a fixture in which `root/` is allowed and `outside/` is not. */
async function withDirectories(use: (directories: Directories) => Promise<void>): Promise<void> {
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

interface Directories {
  readonly base: string;
  readonly root: string;
  readonly outside: string;
  readonly open: (path: string) => Promise<string>;
}

/** Returns the content, or the error code. */
async function tryOpen(path: string, directories: string[], file: string | null): Promise<string> {
  const allowList = new AllowList({ directories, files: file === null ? [] : [file], platform: linux, gate });
  try {
    await using opened = await openFile(path, { allowList, platform: linux, gate });
    const buffer = Buffer.alloc(opened.sizeBytes);
    await opened.readFully(buffer, 0);
    return `read: ${buffer.toString()}`;
  } catch (error) {
    assert.ok(error instanceof BackhaulError, String(error));
    return error.code;
  }
}

const refused: ErrorCode = 'path_not_allowed';

function mounted(type: string, at: string): boolean {
  return spawnSync('mount', ['-t', type, 'none', at]).status === 0;
}

/** For `skip`: why this user cannot mount; false if it can. */
async function whyNoMount(): Promise<string | false> {
  if (process.platform !== 'linux') return 'these file systems exist on Linux only';
  const at = await mkdtemp(join(tmpdir(), 'backhaul-mount-'));
  const mountable = mounted('tmpfs', at);
  if (mountable) execFileSync('umount', [at]);
  await rm(at, { recursive: true });
  return mountable ? false : 'mounting file systems requires root';
}

test('a file below an allowed directory is read, at any depth', () =>
  withDirectories(async ({ root, open }) => {
    await mkdir(join(root, 'a/b'), { recursive: true });
    await writeFile(join(root, 'a/b/c'), 'deep');
    assert.equal(await open(join(root, 'report')), 'read: report');
    assert.equal(await open(join(root, 'a/b/c')), 'read: deep');
    assert.equal(await open(`${root}/a/../report`), 'read: report');
  }));

for (const onChange of ['fail', 'restart', 'prefix'] as const) {
  test(`a pseudo file, which contains more than its size, is not_a_file with ${onChange}`, async () => {
    const path = '/proc/self/status';
    const { signal } = new AbortController();
    await using file = new OpenedFile(await GatedFile.open(path, () => open(path), { gate, signal }), {
      path,
      normalizedPath: path,
      realPath: path,
      name: 'status',
      sizeBytes: 0,
      wholeSizeBytes: 0,
      fingerprint: { device: '1', inode: '1', size: '0', mtime_ns: '1', ctime_ns: '1' },
      modifiedAt: '2025-01-01T00:00:00Z',
      trust: new TimestampTrust({ fileSystem: 'unknown', isSettled: false, ctimeMs: 0, clock: readClock() }),
      onChange,
      platform: linux,
    });
    await assert.rejects(file.assertEnds(), { code: 'not_a_file' });
  });
}

test('assertEnds rejects a file that grew, but not with prefix', () =>
  withDirectories(async ({ root }) => {
    const path = join(root, 'report');
    const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
    for (const onChange of ['fail', 'prefix'] as const) {
      await writeFile(path, '');
      await using opened = await openFile(path, { allowList, platform: linux, gate }, { onChange });
      await opened.assertEnds();
      await writeFile(path, 'a first line');
      const { code, message } = opened.keepsChanging(3);
      assert.equal(code, 'file_changed');
      assert.ok(message.includes(path) && message.includes('--on-change'), message);
      if (onChange === 'prefix') await opened.assertEnds();
      else await assert.rejects(opened.assertEnds(), { code: 'file_changed', message: /--on-change prefix/ });
    }
  }));

test('the error advises prefix only for a file that grew', () =>
  withDirectories(async ({ root }) => {
    const path = join(root, 'app.log');
    const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
    const change = async (modify: (path: string) => Promise<void>) => {
      await writeFile(path, 'one line\n');
      await using opened = await openFile(path, { allowList, platform: linux, gate }, { onChange: 'fail' });
      await modify(path);
      const error: unknown = await opened.assertUnchanged().catch((error: unknown) => error);
      assert.ok(error instanceof BackhaulError && error.code === 'file_changed');
      return error.message;
    };
    assert.match(
      await change((log) => appendFile(log, 'another\n')),
      /size and mtime_ns changed\..*--on-change prefix/,
    );
    assert.doesNotMatch(await change((log) => truncate(log, 3)), /--on-change/);
    assert.doesNotMatch(await change((log) => utimes(log, 1, 1)), /--on-change/);
    const replaced = await change(async (log) => {
      await writeFile(`${log}.new`, 'quite another file');
      await rename(`${log}.new`, log);
    });
    assert.doesNotMatch(replaced, /--on-change/);
  }));

test('reopen returns the same file after it was deleted or another file took its name', () =>
  withDirectories(async ({ root }) => {
    const path = join(root, 'report');
    const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
    await using opened = await openFile(path, { allowList, platform: linux, gate });
    await writeFile(join(root, 'other'), 'other!');
    for (const change of [() => rename(join(root, 'other'), path), () => rm(path)]) {
      await change();
      await using reopened = await opened.reopen({ direct: false });
      assert.notEqual(reopened.fd, opened.fd);
      const content = Buffer.alloc(6);
      await reopened.readFully(content, 0);
      assert.equal(content.toString(), 'report');
    }
  }));

test('if reopen works only by name, another file at the name is file_changed', () =>
  withDirectories(async ({ root }) => {
    const path = join(root, 'report');
    const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
    const byName: Platform['reopen'] = (...args) => darwin.reopen(...args);
    const platform = { ...linux, reopen: byName };
    await using opened = await openFile(path, { allowList, platform, gate });
    await (await opened.reopen({ direct: false })).close();
    await writeFile(join(root, 'other'), 'other!');
    await rename(join(root, 'other'), path);
    await assert.rejects(opened.reopen({ direct: false }), { code: 'file_changed' });
    await rm(path);
    await assert.rejects(opened.reopen({ direct: false }), { code: 'file_not_found' });
  }));

test(
  'a change is detected before one of the next PUTs, not necessarily the very next',
  { timeout: 10_000 },
  ({ signal }) =>
    withDirectories(async ({ root }) => {
      const path = join(root, 'report');
      const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
      await using opened = await openFile(path, { allowList, platform: linux, gate });
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
  withDirectories(async ({ root }) => {
    assert.equal(await tryOpen(join(root, 'report'), [], null), refused);
  }));

test('outside the list the error does not reveal whether a file exists', () =>
  withDirectories(async ({ root, outside, base, open }) => {
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

test('no spelling of a path outside the list is accepted', () =>
  withDirectories(async ({ root, outside, open }) => {
    const out = ['..', './..', 'sub/../..', '../root/..', 'a/b/../../..', '/..', './/..//.', 'report/../..'];
    const there = ['/', '//', '/./', '/x/../'].map((between) => `outside${between}secret`);
    const spellings = [
      ...out.flatMap((way) => there.map((rest) => `${root}/${way}/${rest}`)),
      ...[
        '%2e%2e',
        '%2E%2E%2F',
        '..%2f',
        '%c0%ae%c0%ae',
        '\u2024\u2024',
        '\uFF0E\uFF0E',
        '..;',
        '.. ',
        ' ..',
      ].map((way) => `${root}/${way}/outside/secret`),
      ...['..\\outside\\secret', '..\\..', '../outside/secret\0', '../outside/secret/', '~/x', '$HOME/x'].map(
        (way) => `${root}/${way}`,
      ),
      ...['', '/', '/.', '//'].map((before) => `${before}${outside}/secret`),
      ...[
        `${root}x/../outside/secret`,
        `${root.toUpperCase()}/../outside/secret`,
        `file://${outside}/secret`,
      ],
      ...[
        '/etc/passwd',
        '//etc/passwd',
        '/./etc/passwd',
        '/proc/self/root/etc/passwd',
        '/dev/fd/0',
        'etc/passwd',
        '',
      ],
    ];
    assert.ok(spellings.length >= 61, String(spellings.length));
    const allowed = new Set<string>([refused, 'invalid_path', 'file_not_found']);
    for (const path of spellings) {
      const outcome = await open(path);
      assert.ok(allowed.has(outcome), `${JSON.stringify(path)}: ${outcome}`);
    }
  }));

test('a directory whose name starts with the name of an allowed one is not allowed', () =>
  withDirectories(async ({ base, open }) => {
    await mkdir(join(base, 'root-2'));
    await writeFile(join(base, 'root-2/file'), 'other');
    assert.equal(await open(join(base, 'root-2/file')), refused);
  }));

test('a symbolic link as the last component is refused, whatever its target', () =>
  withDirectories(async ({ root, outside, open }) => {
    await symlink(join(outside, 'secret'), join(root, 'out'));
    await symlink(join(root, 'report'), join(root, 'in'));
    await symlink(join(root, 'nowhere'), join(root, 'dangling'));
    for (const name of ['out', 'in', 'dangling']) assert.equal(await open(join(root, name)), refused);
  }));

test('a linked directory that points outside is refused, and the error does not reveal its content', () =>
  withDirectories(async ({ root, outside, open }) => {
    await mkdir(join(outside, 'sub'));
    await symlink(outside, join(root, 'door'));
    for (const path of ['door/secret', 'door/nothing', 'door/sub/nothing', 'door/no/such/place']) {
      assert.equal(await open(join(root, path)), refused, path);
    }
  }));

test('a linked directory that points inside is followed, and a missing file in it is file_not_found', () =>
  withDirectories(async ({ root, open }) => {
    await mkdir(join(root, 'real'));
    await writeFile(join(root, 'real/file'), 'inside');
    await symlink(join(root, 'real'), join(root, 'alias'));
    assert.equal(await open(join(root, 'alias/file')), 'read: inside');
    assert.equal(await open(join(root, 'alias/missing')), 'file_not_found');
  }));

test('an allowed directory may itself be a link', () =>
  withDirectories(async ({ base, root }) => {
    await symlink(root, join(base, 'link'));
    assert.equal(await tryOpen(join(base, 'link/report'), [join(base, 'link')], null), 'read: report');
    assert.equal(
      await tryOpen(join(root, 'report'), [join(base, 'link')], null),
      refused,
      'only by its allowed name',
    );
  }));

test('nothing is read below an allowed directory that is replaced by a link after the start', () =>
  withDirectories(async ({ base, root, outside }) => {
    for (const kind of ['--allow', '--file']) {
      const own = join(base, `own${kind}`);
      await mkdir(own);
      await writeFile(join(own, 'secret'), 'harmless');
      const flags =
        kind === '--allow'
          ? { directories: [root, own], files: [] }
          : { directories: [], files: [join(own, 'secret')] };
      const allowList = new AllowList({ ...flags, platform: linux, gate });
      await allowList.problems();
      await rename(own, join(base, `moved${kind}`));
      await symlink(outside, own);
      const opened = openFile(join(own, 'secret'), { allowList, platform: linux, gate });
      await assert.rejects(opened, { code: refused }, kind);
      await rm(own);
      await rename(join(base, `moved${kind}`), own);
      await using file = await openFile(join(own, 'secret'), { allowList, platform: linux, gate });
      assert.equal(file.sizeBytes, 8);
    }
  }));

test('an allowed directory that was missing at startup may be created later, but not as a link', () =>
  withDirectories(async ({ base, outside }) => {
    for (const kind of ['--allow', '--file']) {
      for (const late of ['late', 'late/deeper']) {
        const own = join(base, `${kind}${late}`);
        const top = join(base, `${kind}late`);
        const path = join(own, 'secret');
        const flags =
          kind === '--allow' ? { directories: [own], files: [] } : { directories: [], files: [path] };
        const allowList = new AllowList({ ...flags, platform: linux, gate });
        await allowList.problems();
        await mkdir(join(outside, 'deeper'), { recursive: true });
        await writeFile(join(outside, 'deeper/secret'), 'secret');
        await symlink(outside, top);
        const opened = openFile(path, { allowList, platform: linux, gate });
        await assert.rejects(
          opened,
          { code: refused, message: /a different directory.*restart the agent/ },
          own,
        );
        await rm(top);
        await mkdir(own, { recursive: true });
        await writeFile(path, 'harmless');
        await using file = await openFile(path, { allowList, platform: linux, gate });
        assert.equal(file.sizeBytes, 8);
        await rm(top, { recursive: true });
      }
    }
  }));

test('a directory replaced by a link between the check and the open is detected by the descriptor', () =>
  withDirectories(async ({ root, outside }) => {
    await mkdir(join(root, 'sub'));
    await writeFile(join(root, 'sub/secret'), 'harmless');
    const list = new AllowList({ directories: [root], files: [], platform: linux, gate });
    let swapped = false;
    const racing = {
      checkPath: async (path: string) => {
        const checked = await list.checkPath(path);
        await rename(join(root, 'sub'), join(root, 'moved'));
        await symlink(outside, join(root, 'sub'));
        swapped = true;
        return checked;
      },
      checkRealPath: list.checkRealPath.bind(list),
    } as unknown as AllowList;
    await assert.rejects(openFile(join(root, 'sub/secret'), { allowList: racing, platform: linux, gate }), {
      code: refused,
    });
    assert.ok(swapped);
  }));

test('links in directories are resolved before the open, so that the system can refuse every link', () =>
  withDirectories(async ({ root, outside }) => {
    const link = join(root, 'alias');
    await mkdir(join(root, 'real'));
    await writeFile(join(root, 'real/report'), 'inside');
    await symlink(join(root, 'real'), link);
    await writeFile(join(outside, 'report'), 'secret');
    let swapped = false;
    // Linux has no flag like macOS's; the content shows which file was opened.
    const platform = {
      ...darwin,
      get fileFlags() {
        rmSync(link);
        symlinkSync(outside, link);
        swapped = true;
        return linux.fileFlags;
      },
    };
    const allowList = new AllowList({ directories: [root], files: [], platform, gate });
    await using file = await openFile(join(link, 'report'), { allowList, platform, gate });
    assert.ok(swapped);
    const buffer = Buffer.alloc(file.sizeBytes);
    await file.readFully(buffer, 0);
    assert.equal(buffer.toString(), 'inside');
  }));

test('a file replaced between the check and the open neither blocks nor gives access to another file', () =>
  withDirectories(async ({ root, outside }) => {
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
        // Evaluated after the check and before the open.
        get fileFlags() {
          rmSync(path);
          swap(path);
          return linux.fileFlags;
        },
      };
      const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
      await assert.rejects(openFile(path, { allowList, platform: racing, gate }), { code });
    }
  }));

test('--file allows only that file, not its siblings or its directory', () =>
  withDirectories(async ({ base, root }) => {
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

test('a directory, FIFO, socket or device is not_a_file, and a FIFO does not block', () =>
  withDirectories(async ({ root, open }) => {
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

test('kernel interfaces are never read, wherever they are mounted', { skip: await whyNoMount() }, () =>
  withDirectories(async ({ root }) => {
    const samples: Array<[type: string, file: string]> = [
      ['proc', 'self/environ'],
      ['sysfs', 'kernel/notes'],
      ['cgroup2', 'cgroup.controllers'],
      ['tracefs', 'README'],
      ['debugfs', 'sched/features'],
      ['securityfs', 'lsm'],
      ['binfmt_misc', 'status'],
      ['tmpfs', 'ordinary'],
    ];
    const outcomes: Record<string, string> = {};
    for (const [type, file] of samples) {
      const at = join(root, type);
      await mkdir(at);
      if (!mounted(type, at)) continue;
      try {
        if (type === 'tmpfs') await writeFile(join(at, file), 'file');
        // A kernel in lockdown mode refuses to open most of these, even to root.
        const readable = await readFile(join(at, file)).then(
          () => true,
          () => false,
        );
        if (readable) outcomes[type] = await tryOpen(join(at, file), [root], null);
        const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
        const listed = listDirectory(
          at,
          { allowList, platform: linux, gate },
          { signal: AbortSignal.timeout(20_000) },
        );
        outcomes[`${type}/`] = await listed.then(
          () => 'listed',
          (error: unknown) => (error instanceof BackhaulError ? error.code : String(error)),
        );
      } finally {
        execFileSync('umount', [at]);
      }
    }
    const { tmpfs, 'tmpfs/': tmpfsListing, ...kernel } = outcomes;
    assert.deepEqual([tmpfs, tmpfsListing], ['read: file', 'listed']);
    assert.ok('proc' in kernel && 'sysfs' in kernel, 'mounted');
    for (const [what, code] of Object.entries(kernel)) assert.equal(code, refused, what);
  }),
);

test('a link to a kernel interface is refused', () =>
  withDirectories(async ({ root }) => {
    await symlink('/proc/self', join(root, 'self'));
    assert.equal(await tryOpen(join(root, 'self/environ'), ['/', root], null), refused);
  }));

test('a missing file is file_not_found, also below a file or a missing allowed directory', () =>
  withDirectories(async ({ base, root, open }) => {
    assert.equal(await open(join(root, 'missing')), 'file_not_found');
    assert.equal(await open(join(root, 'no/such/place')), 'file_not_found');
    assert.equal(await open(join(root, 'report/below')), 'file_not_found');
    assert.equal(await tryOpen(join(base, 'unmounted/x'), [join(base, 'unmounted')], null), 'file_not_found');
  }));

test('impossible names are invalid_path', () =>
  withDirectories(async ({ root, open }) => {
    for (const path of ['relative/path', `${root}/a\0b`, `${root}/\u{FFFD}`, `${root}/\uD800`]) {
      assert.equal(await open(path), 'invalid_path', JSON.stringify(path));
    }
    assert.equal(await open(join(root, 'x'.repeat(300))), 'invalid_path');
  }));

test('a file that the agent’s user cannot read is permission_denied', () =>
  withDirectories(async ({ base, root }) => {
    const path = join(root, 'private');
    await writeFile(path, 'private');
    await chmod(path, 0o000);
    for (const directory of [base, root]) await chmod(directory, 0o755);
    // Root can read everything, so a child process drops its privileges after it has loaded all modules.
    const script = `
      const { openFile } = await import(${JSON.stringify(import.meta.resolve('./open-file.ts'))});
      const { AllowList } = await import(${JSON.stringify(import.meta.resolve('../policy/allow-list.ts'))});
      const { gate } = await import(${JSON.stringify(import.meta.resolve('../../../../test/doubles/open-gate.ts'))});
      const { linux } = await import(${JSON.stringify(import.meta.resolve('../platform/linux.ts'))});
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
      const allowList = new AllowList({ directories: [${JSON.stringify(root)}], files: [], platform: linux, gate });
      await openFile(${JSON.stringify(path)}, { allowList, platform: linux, gate }).then(
        () => console.log('opened'), (error) => console.log(error.code));`;
    const child = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
    assert.equal((await child).stdout.trim(), 'permission_denied');
  }));

test('with several --file flags each of these files can be read, and no other', () =>
  withDirectories(async ({ base, root }) => {
    const [first, second, other] = [join(root, 'report'), join(base, 'day.log'), join(base, 'other.log')];
    for (const path of [second, other]) await writeFile(path, 'x');
    const allowList = new AllowList({ directories: [], files: [first, second], platform: linux, gate });
    assert.deepEqual(allowList.describe(), [first, second]);
    for (const path of [first, second]) {
      await using opened = await openFile(path, { allowList, platform: linux, gate });
      assert.ok(opened.sizeBytes > 0);
    }
    await assert.rejects(openFile(other, { allowList, platform: linux, gate }), { code: 'path_not_allowed' });
  }));
