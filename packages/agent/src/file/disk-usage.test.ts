import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { link, mkdir, mkdtemp, realpath, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { BackhaulError, commands } from '@backhaul/protocol';
import { gate } from '../../../../test/doubles/open-gate.ts';
import { linux } from '../platform/linux.ts';
import { AllowList } from '../policy/allow-list.ts';
import { diskUsage } from './disk-usage.ts';

async function withRoot(use: (root: string, base: string) => Promise<void>): Promise<void> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-usage-')));
  await mkdir(join(base, 'root'));
  try {
    await use(join(base, 'root'), base);
  } finally {
    await rm(base, { recursive: true });
  }
}

type Options = Partial<Parameters<typeof diskUsage>[2]> & { readonly allow?: string };

async function usageOf(path: string, { allow = path, ...options }: Options = {}) {
  const allowList = new AllowList({ directories: [allow], files: [], platform: linux, gate });
  const signal = AbortSignal.timeout(60_000);
  const deps = { allowList, platform: linux, gate };
  return commands.disk_usage.result.parse(await diskUsage(path, deps, { largest: 20, signal, ...options }));
}

async function codeOf(usage: Promise<unknown>): Promise<string> {
  return usage.then(
    () => 'walked',
    (error: unknown) => (error instanceof BackhaulError ? error.code : String(error)),
  );
}

test('disk usage adds up the files of all levels and names the largest', () =>
  withRoot(async (root) => {
    await mkdir(join(root, 'a/b'), { recursive: true });
    await mkdir(join(root, 'empty'));
    await writeFile(join(root, 'one'), '1');
    await writeFile(join(root, 'a/three'), '333');
    await writeFile(join(root, 'a/b/two'), '22');
    await symlink('/etc', join(root, 'etc'));
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const { largest, allocated_bytes, ...usage } = await usageOf(root, { largest: 2 });
    assert.deepEqual(usage, {
      path: root,
      bytes: 6,
      files: 3,
      directories: 3,
      others: 2,
      repeated_links: 0,
      unreadable: 0,
      other_file_systems: 0,
    });
    assert.ok(allocated_bytes >= 3 * 512 && allocated_bytes % 512 === 0, String(allocated_bytes));
    assert.deepEqual(
      largest.map(({ path, size }) => [path, size]),
      [
        [join(root, 'a/three'), 3],
        [join(root, 'a/b/two'), 2],
      ],
    );
  }));

test('the size of a sparse file is not what it allocates', () =>
  withRoot(async (root) => {
    await writeFile(join(root, 'sparse'), '');
    await truncate(join(root, 'sparse'), 1_000_000_000);
    const { bytes, allocated_bytes } = await usageOf(root);
    assert.equal(bytes, 1_000_000_000);
    assert.ok(allocated_bytes < 1_000_000, String(allocated_bytes));
  }));

test('a file with several hard links counts once', () =>
  withRoot(async (root) => {
    await mkdir(join(root, 'other'));
    await writeFile(join(root, 'first'), '12345');
    await link(join(root, 'first'), join(root, 'second'));
    await link(join(root, 'first'), join(root, 'other/third'));
    const { bytes, files, repeated_links, largest } = await usageOf(root);
    assert.deepEqual(
      { bytes, files, repeated_links, listed: largest.length },
      { bytes: 5, files: 1, repeated_links: 2, listed: 1 },
    );
  }));

test('the memory for hard links is bounded; further links count again', () =>
  withRoot(async (root) => {
    for (const name of ['a', 'b', 'c']) {
      await writeFile(join(root, name), '1');
      await link(join(root, name), join(root, `${name}2`));
    }
    const { files, repeated_links } = await usageOf(root, { maxHardLinks: 1 });
    assert.deepEqual({ files, repeated_links }, { files: 5, repeated_links: 1 });
  }));

test('only allowed directories are walked, and a link is refused', () =>
  withRoot(async (root, base) => {
    await mkdir(join(base, 'outside'));
    await writeFile(join(root, 'file'), '');
    await symlink(join(base, 'outside'), join(root, 'door'));
    assert.equal(await codeOf(usageOf(join(base, 'outside'), { allow: root })), 'path_not_allowed');
    assert.equal(await codeOf(usageOf(join(root, 'door'), { allow: root })), 'path_not_allowed');
    assert.equal(await codeOf(usageOf(join(root, 'file'), { allow: root })), 'not_a_directory');
    assert.equal(await codeOf(usageOf(join(root, 'missing'), { allow: root })), 'file_not_found');
    assert.equal(await codeOf(usageOf('/proc', { allow: '/' })), 'path_not_allowed');
  }));

for (const where of ['outside', 'root/inside']) {
  test(`a directory that becomes a link to ${where} during the walk is not followed`, () =>
    withRoot(async (root, base) => {
      const target = join(base, where);
      await mkdir(join(target, 'sub'), { recursive: true });
      await writeFile(join(target, 'sub/secret'), 'secret');
      await mkdir(join(root, 'dir/sub'), { recursive: true });
      let swapped = false;
      const { bytes, unreadable } = await usageOf(root, {
        onProgress: ({ directories }) => {
          // Only `dir` is visited, but not its `sub`.
          const isSeen = directories === (where === 'outside' ? 2 : 4);
          if (!isSeen || swapped) return;
          swapped = true;
          renameSync(join(root, 'dir'), join(base, 'moved'));
          symlinkSync(target, join(root, 'dir'));
        },
      });
      assert.ok(swapped);
      assert.deepEqual({ bytes, unreadable }, { bytes: where === 'outside' ? 0 : 6, unreadable: 1 });
    }));
}

test('unreadable directories are counted, and the rest is added up', (t) =>
  withRoot(async (root) => {
    await mkdir(join(root, 'good'));
    await mkdir(join(root, 'gone'));
    await writeFile(join(root, 'good/file'), '123');
    const platform = {
      ...linux,
      realPathOf: async (...args: Parameters<typeof linux.realPathOf>) => {
        if (args[1] === join(root, 'gone')) throw Object.assign(new Error('denied'), { code: 'EACCES' });
        return await linux.realPathOf(...args);
      },
    };
    const allowList = new AllowList({ directories: [root], files: [], platform, gate });
    const options = { largest: 1, signal: t.signal };
    const usage = await diskUsage(root, { allowList, platform, gate }, options);
    assert.deepEqual([usage.bytes, usage.directories, usage.unreadable], [3, 2, 1]);
  }));

test('a mounted file system is counted, not entered', (t) =>
  withRoot(async (root) => {
    await mkdir(join(root, 'mount'));
    if (spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', join(root, 'mount')]).status !== 0) {
      t.skip('tmpfs has to be mounted; run this as root');
      return;
    }
    try {
      await writeFile(join(root, 'mount/file'), '123');
      const below = await usageOf(root);
      assert.deepEqual([below.bytes, below.directories, below.other_file_systems], [0, 1, 1]);
      assert.equal((await usageOf(join(root, 'mount'))).bytes, 3);
    } finally {
      execFileSync('umount', [join(root, 'mount')]);
    }
  }));

test('an aborted walk ends immediately and closes its directories', () =>
  withRoot(async (root) => {
    for (let index = 0; index < 200; index += 1) {
      await mkdir(join(root, `d${index}/sub`), { recursive: true });
    }
    const stop = new AbortController();
    let seen = 0;
    const walk = usageOf(root, {
      signal: stop.signal,
      onProgress: ({ directories }) => {
        if (directories > 210 && !stop.signal.aborted) stop.abort(new Error('enough'));
        seen = directories;
      },
    });
    await assert.rejects(walk, { message: 'enough' });
    assert.ok(seen < 300, `${seen} directories`);
    while (gate.calls > 0) await new Promise(setImmediate);
    const open = execFileSync('ls', ['-l', `/proc/${process.pid}/fd`], { encoding: 'utf8' });
    assert.ok(!open.includes(root), open);
  }));

test('the number of waiting directories is bounded', () =>
  withRoot(async (root) => {
    for (let index = 0; index < 10; index += 1) await mkdir(join(root, `d${index}`));
    const { directories, unreadable } = await usageOf(root, { maxWaitingDirectories: 4 });
    assert.deepEqual({ directories, unreadable }, { directories: 10, unreadable: 6 });
  }));

test('100,000 files are added up quickly, in little memory, while the event loop stays responsive', (t) =>
  withRoot(async (root) => {
    // On a disk it takes long to create the files.
    const isMounted = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', root]).status === 0;
    const make = `import os, sys
for d in range(100):
    os.mkdir("%s/%03d" % (sys.argv[1], d))
    for i in range(1000): os.mknod("%s/%03d/%04d" % (sys.argv[1], d, i))`;
    execFileSync('python3', ['-c', make, root]);
    writeFileSync(join(root, '050/0500'), '12345');
    const here = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const program = `
      import { monitorEventLoopDelay } from 'node:perf_hooks';
      import { diskUsage } from ${here('disk-usage.ts')};
      import { linux as platform } from ${here('../platform/linux.ts')};
      import { AllowList } from ${here('../policy/allow-list.ts')};
      import { gate } from ${here('../../../../test/doubles/open-gate.ts')};
      const [root] = process.argv.slice(1);
      const allowList = new AllowList({ directories: [root], files: [], platform, gate });
      const { signal } = new AbortController();
      const delay = monitorEventLoopDelay();
      delay.enable();
      const before = process.cpuUsage();
      const { files, bytes, directories } = await diskUsage(root, { allowList, platform, gate }, { largest: 20, signal });
      const { user, system } = process.cpuUsage(before);
      console.log(JSON.stringify({ files, bytes, directories, cpuMs: (user + system) / 1000, maxDelayMs: delay.max / 1e6 }));
    `;
    // In megabytes: the modules need half of it, and the state of all files would need more.
    const heap = ['--max-old-space-size=32', '--max-semi-space-size=1'];
    const walked = spawnSync(process.execPath, [...heap, '--input-type=module', '--eval', program, root]);
    t.diagnostic(String(walked.stdout));
    const { cpuMs, maxDelayMs, ...usage } = JSON.parse(String(walked.stdout) || String(walked.stderr)) as {
      cpuMs: number;
      maxDelayMs: number;
    };
    if (isMounted) execFileSync('umount', [root]);
    assert.deepEqual(usage, { files: 100_000, bytes: 5, directories: 100 });
    // Of the process: on a busy machine more time passes.
    assert.ok(cpuMs < 30_000, `${cpuMs} ms`);
    assert.ok(maxDelayMs < 1000, `${maxDelayMs} ms`);
  }));
