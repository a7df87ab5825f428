import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { BackhaulError, commands, MAX_FRAME_BYTES } from '@backhaul/protocol';
import { gate } from '../../../../test/doubles/open-gate.ts';
import { linux } from '../platform/linux.ts';
import { AllowList } from '../policy/allow-list.ts';
import { listDirectory } from './list-directory.ts';

async function withRoot(use: (root: string, base: string) => Promise<void>): Promise<void> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-list-')));
  await mkdir(join(base, 'root'));
  try {
    await use(join(base, 'root'), base);
  } finally {
    await rm(base, { recursive: true });
  }
}

async function list(path: string, root: string, file: string | null = null) {
  const allowList = new AllowList({
    directories: [root],
    files: file === null ? [] : [file],
    platform: linux,
    gate,
  });
  const signal = AbortSignal.timeout(20_000);
  return commands.list_directory.result.parse(
    await listDirectory(path, { allowList, platform: linux, gate }, { signal }),
  );
}

async function codeOf(listing: Promise<unknown>): Promise<string> {
  return listing.then(
    () => 'listed',
    (error: unknown) => (error instanceof BackhaulError ? error.code : String(error)),
  );
}

test('entries are sorted by name and have a type; links are not followed', () =>
  withRoot(async (root) => {
    await writeFile(join(root, 'b.txt'), '12345');
    await utimes(join(root, 'b.txt'), 1_700_000_000, 1_700_000_000);
    await mkdir(join(root, 'a'));
    await symlink('/etc/passwd', join(root, 'c'));
    execFileSync('mkfifo', [join(root, 'd')]);
    const { entries, truncated, path } = await list(root, root);
    assert.equal(path, root);
    assert.equal(truncated, false);
    assert.deepEqual(
      entries.map(({ name, type, size }) => ({ name, type, size })),
      [
        { name: 'a', type: 'directory', size: null },
        { name: 'b.txt', type: 'file', size: 5 },
        { name: 'c', type: 'symlink', size: null },
        { name: 'd', type: 'other', size: null },
      ],
    );
    assert.equal(entries[1]?.modified_at, '2023-11-14T22:13:20.000Z');
  }));

test('only allowed directories are listed; --file does not allow its directory', () =>
  withRoot(async (root, base) => {
    await mkdir(join(base, 'outside'));
    await writeFile(join(base, 'file'), '');
    await symlink(join(base, 'outside'), join(root, 'door'));
    assert.equal(await codeOf(list(base, root)), 'path_not_allowed');
    assert.equal(await codeOf(list(join(base, 'outside'), root)), 'path_not_allowed');
    assert.equal(await codeOf(list(join(base, 'nothing'), root)), 'path_not_allowed');
    assert.equal(await codeOf(list(join(root, 'door'), root)), 'path_not_allowed');
    assert.equal(await codeOf(list(join(root, 'door/sub'), root)), 'path_not_allowed');
    assert.equal(await codeOf(list(base, root, join(base, 'file'))), 'path_not_allowed');
    assert.equal(await codeOf(list('/proc', '/')), 'path_not_allowed');
  }));

test('a file is not_a_directory, a missing directory is file_not_found', () =>
  withRoot(async (root) => {
    await writeFile(join(root, 'file'), '');
    assert.equal(await codeOf(list(join(root, 'file'), root)), 'not_a_directory');
    assert.equal(await codeOf(list(join(root, 'missing'), root)), 'file_not_found');
  }));

test('a listing is truncated after 5,000 names and marked as truncated', () =>
  withRoot(async (root) => {
    const names = Array.from({ length: 10_500 }, (_, index) => `f${String(index).padStart(5, '0')}`);
    for (let at = 0; at < names.length; at += 500) {
      await Promise.all(names.slice(at, at + 500).map((name) => writeFile(join(root, name), '')));
    }
    const { entries, truncated } = await list(root, root);
    assert.equal(truncated, true);
    assert.deepEqual(
      entries.map(({ name }) => name),
      names.slice(0, 5000),
    );
  }));

test('a listing with long names is truncated to fit into one frame', () =>
  withRoot(async (root) => {
    // 255 bytes in the file system, six times as many in JSON.
    await Promise.all(
      Array.from({ length: 1200 }, (_, index) =>
        writeFile(join(root, `${'\u0001'.repeat(250)}${index}`), ''),
      ),
    );
    const listing = await list(root, root);
    assert.equal(listing.truncated, true);
    const bytes = Buffer.byteLength(JSON.stringify(listing));
    assert.ok(bytes < MAX_FRAME_BYTES && bytes > MAX_FRAME_BYTES / 2, `${bytes} bytes`);
  }));

test('a directory of 200,000 names is listed in little memory, also on tmpfs', async (t) =>
  withRoot(async (root) => {
    if (spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', root]).status !== 0) {
      t.skip('tmpfs has to be mounted; run this as root');
      return;
    }
    try {
      const make = 'import os, sys\nfor i in range(200000): os.mknod("%s/%06d" % (sys.argv[1], i))';
      execFileSync('python3', ['-c', make, root]);
      const here = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
      const program = `
        import { listDirectory } from ${here('list-directory.ts')};
        import { linux as platform } from ${here('../platform/linux.ts')};
        import { AllowList } from ${here('../policy/allow-list.ts')};
        import { gate } from ${here('../../../../test/doubles/open-gate.ts')};
        const [root] = process.argv.slice(1);
        const allowList = new AllowList({ directories: [root], files: [], platform, gate });
        const { signal } = new AbortController();
        const { entries } = await listDirectory(root, { allowList, platform, gate }, { signal });
        console.log(entries.length);
      `;
      // In megabytes: enough for the retained names, too little for all names.
      const heap = '--max-old-space-size=24';
      const listed = spawnSync(process.execPath, [heap, '--input-type=module', '--eval', program, root]);
      assert.equal(String(listed.stdout).trim(), '5000', String(listed.stderr).slice(-2000));
    } finally {
      execFileSync('umount', [root]);
    }
  }));

test('a directory of 12,000 entries is listed page by page, each entry exactly once', () =>
  withRoot(async (root) => {
    const names = Array.from(
      { length: 12_000 },
      (_, index) => `${index % 2 === 0 ? 'app' : 'sys'}-${index}.log`,
    );
    for (const name of names) writeFileSync(join(root, name), '');
    const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate });
    const deps = { allowList, platform: linux, gate };
    const signal = AbortSignal.timeout(60_000);
    const pages: string[][] = [];
    const collect = async (range: { prefix?: string; limit?: number }, pagesWanted = Infinity) => {
      pages.length = 0;
      for (let cursor: string | undefined; pages.length < pagesWanted;) {
        const page = await listDirectory(root, deps, { ...range, cursor, signal });
        commands.list_directory.result.parse(page);
        pages.push(page.entries.map(({ name }) => name));
        assert.equal(page.truncated, page.next_cursor !== undefined);
        if (page.next_cursor === undefined) break;
        cursor = page.next_cursor;
      }
      return pages.flat();
    };
    assert.deepEqual(await collect({}), names.toSorted());
    assert.deepEqual(
      pages.map(({ length }) => length),
      [5000, 5000, 2000],
    );
    assert.deepEqual(
      await collect({ prefix: 'sys-119', limit: 20 }, 2),
      names
        .filter((name) => name.startsWith('sys-119'))
        .toSorted()
        .slice(0, 40),
    );
    assert.deepEqual(await collect({ prefix: 'none' }), []);
  }));
