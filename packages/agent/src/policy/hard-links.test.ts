import assert from 'node:assert/strict';
import { chmod, chown, link, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { gate } from '../../../../test/doubles/open-gate.ts';
import { openFile } from '../file/open-file.ts';
import { linux } from '../platform/linux.ts';
import { AllowList } from './allow-list.ts';

interface Case {
  readonly name: string;
  readonly directory: { readonly uid: number; readonly mode: number };
  /** Owner of the file. */
  readonly uid: number;
  readonly isRead: boolean;
}

const cases: Case[] = [
  {
    name: 'own link to another account’s file',
    directory: { uid: 1001, mode: 0o755 },
    uid: 0,
    isRead: false,
  },
  {
    name: 'in a directory of the file’s owner',
    directory: { uid: 1001, mode: 0o755 },
    uid: 1001,
    isRead: true,
  },
  { name: 'in a directory of root', directory: { uid: 0, mode: 0o755 }, uid: 1001, isRead: true },
  { name: 'where the group can write', directory: { uid: 1001, mode: 0o775 }, uid: 1001, isRead: false },
  { name: 'where all can write', directory: { uid: 0, mode: 0o1777 }, uid: 0, isRead: false },
];

const skip = process.getuid?.() === 0 ? false : 'creating files of other owners requires root';

/** Returns the error message; null if the file is read. */
async function refusal(path: string, root: string, hardLinks = false): Promise<string | null> {
  const allowList = new AllowList({ directories: [root], files: [], platform: linux, gate, hardLinks });
  try {
    await (await openFile(path, { allowList, platform: linux, gate })).close();
    return null;
  } catch (error) {
    assert.ok(error instanceof BackhaulError && error.code === 'path_not_allowed', String(error));
    return error.message;
  }
}

for (const { name, directory, uid, isRead } of cases) {
  test(`a hard link is ${isRead ? 'read' : 'refused'}: ${name}`, { skip }, async () => {
    const base = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-links-')));
    const [file, root] = [join(base, 'secret'), join(base, 'root')];
    const linked = join(root, 'linked');
    await mkdir(root);
    await writeFile(file, 'secret');
    await link(file, linked);
    await chown(file, uid, uid);
    await chown(root, directory.uid, directory.uid);
    await chmod(root, directory.mode);
    const message = await refusal(linked, root);
    assert.equal(message === null, isRead, message ?? '');
    if (!isRead) assert.match(message ?? '', /2 hard links.*--allow-hard-links/);
    assert.equal(await refusal(linked, root, true), null, 'with --allow-hard-links');
    await rm(file);
    assert.equal(await refusal(linked, root), null, 'a file with one name is read');
    await rm(base, { recursive: true });
  });
}
