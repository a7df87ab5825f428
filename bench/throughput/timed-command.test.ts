import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { installedCommands } from './installed-commands.ts';
import { timedCommand } from './timed-command.ts';

const { signal } = new AbortController();

describe('a command that is timed', { skip: process.platform !== 'linux' && 'it asks procfs' }, () => {
  test('is charged with what it and its children used', async () => {
    const spin = 'while (process.cpuUsage().user < 300_000);';
    const usage = await timedCommand(['sh', '-c', `"${process.execPath}" -e '${spin}'; true`], { signal });
    assert.ok(usage.seconds >= 0.3, `${usage.seconds} s`);
    assert.ok(usage.cpuSeconds >= 0.29, `${usage.cpuSeconds} s of CPU`);
    const rest = await timedCommand(['sleep', '0.3'], { signal });
    assert.ok(rest.seconds >= 0.3 && rest.cpuSeconds < 0.1, JSON.stringify(rest));
  });

  test('that fails says what it said', async () => {
    await assert.rejects(timedCommand(['sh', '-c', 'echo oh no >&2; exit 3'], { signal }), /3: oh no$/);
  });
});

test('every version of a command along PATH is found once', async () => {
  await using directory = await temporaryDirectory();
  const before = process.env['PATH'];
  try {
    for (const [folder, version] of [
      ['a', 'tool 1'],
      ['b', 'tool 2'],
      ['c', 'tool 1'],
    ] as const) {
      await mkdir(directory.join(folder));
      await writeFile(directory.join(folder, 'tool'), `#!/bin/sh\necho ${version}\n`);
      await chmod(directory.join(folder, 'tool'), 0o755);
    }
    process.env['PATH'] = `${['a', 'b', 'c'].map((name) => directory.join(name)).join(':')}:${before}`;
    const found = await installedCommands('tool', ['--version'], { signal });
    assert.deepEqual(found, [
      { command: directory.join('a', 'tool'), version: 'tool 1' },
      { command: directory.join('b', 'tool'), version: 'tool 2' },
    ]);
    assert.deepEqual(await installedCommands('no-such-tool', [], { signal }), []);
  } finally {
    process.env['PATH'] = before;
  }
});
