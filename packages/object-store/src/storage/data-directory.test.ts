import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesBelow } from '../../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { ForeignDataDirectory } from './data-directory.ts';
import { Storage } from './storage.ts';

const open = (path: string): Promise<Storage> => Storage.open(path, { nowMs: Date.now });

test('--data refuses a directory with other files, and does not change it', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'tmp'));
  await writeFile(join(directory.path, 'tmp', 'precious'), 'x');
  await assert.rejects(open(directory.path), (error) => {
    assert.ok(error instanceof ForeignDataDirectory);
    assert.match(error.message, /tmp.*--data/);
    return true;
  });
  assert.deepEqual(await filesBelow(directory.path), [join('tmp', 'precious')]);
});

test('a directory of another format is refused and not changed', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'format.json'), '{"format":2}');
  await mkdir(join(directory.path, 'tmp'));
  await writeFile(join(directory.path, 'tmp', 'staged'), 'x');
  await assert.rejects(open(directory.path), ForeignDataDirectory);
  assert.deepEqual(await filesBelow(directory.path), ['format.json', join('tmp', 'staged')]);
});

test('a new directory, an empty one and one of an interrupted start are accepted', async () => {
  await using directory = await temporaryDirectory();
  for (const leftovers of [undefined, [], ['lock.sqlite', 'lock.sqlite-journal', 'format.json.new']]) {
    const path = join(directory.path, String(leftovers?.length));
    if (leftovers !== undefined) await mkdir(path);
    for (const name of leftovers ?? []) await writeFile(join(path, name), '');
    await using _storage = await open(path);
    assert.equal(await readFile(join(path, 'format.json'), 'utf8'), '{"format":1}');
  }
});

test('files left in tmp by a crash are removed', async () => {
  await using directory = await temporaryDirectory();
  await (await open(directory.path))[Symbol.asyncDispose]();
  await writeFile(join(directory.path, 'tmp', 'half-written'), 'x');
  await using _storage = await open(directory.path);
  assert.deepEqual(await readdir(join(directory.path, 'tmp')), []);
});
