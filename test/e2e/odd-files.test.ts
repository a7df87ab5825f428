import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { commandAnswerSchema } from '@backhaul/protocol';
import { Stage } from '../harness/stage.ts';

const TIMES = { early: -62_135_596_801, late: 253_402_300_800 };

test('files whose times and sizes cannot be written as a date or a number are pulled and listed', async (t) => {
  await using stage = await Stage.start();
  const root = stage.directory.join('memory');
  await mkdir(root);
  try {
    // tmpfs stores any time and size; ext4 does not.
    execFileSync('mount', ['-t', 'tmpfs', 'none', root], { stdio: 'pipe' });
  } catch {
    return t.skip('needs the right to mount');
  }
  try {
    for (const [name, seconds] of Object.entries(TIMES)) {
      await writeFile(`${root}/${name}`, name);
      // Node.js's utimes replaces a negative number with the current time.
      execFileSync('touch', ['-d', `@${seconds}`, `${root}/${name}`]);
    }
    // Node.js's truncate does not accept this size.
    execFileSync('truncate', ['--size=1E', `${root}/vast`]);
    await stage.startAgent('till', ['--allow', root]);

    const early = await stage.pull('till', { file_path: `${root}/early` });
    const late = await stage.pull('till', { file_path: `${root}/late` });
    assert.deepEqual(
      [early, late].map((record) => [record.status, record.source_modified_at]),
      [
        ['completed', '0001-01-01T00:00:00.000Z'],
        ['completed', '9999-12-31T23:59:59.999Z'],
      ],
    );
    assert.equal((await stage.pull('till', { file_path: `${root}/vast` })).error, 'file_too_large');

    const answer = await stage.fetch('/clients/till/commands/list_directory', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ path: root }),
    });
    const { result } = commandAnswerSchema.parse(await answer.json());
    assert.ok('entries' in result);
    assert.deepEqual(
      result.entries.map(({ name, size, modified_at: at }) => [name, size, at === null]),
      [
        ['early', 5, true],
        ['late', 4, true],
        ['vast', null, false],
      ],
    );
  } finally {
    execFileSync('umount', ['--lazy', root]);
  }
});
