import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { binPath } from '../harness/program.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

const programs = ['backhaul-agent', 'backhaul-server'] as const;
const helper = (name: (typeof programs)[number]) => binPath(name).replace(/[^/\\]+$/, 'restart-with.js');

/** Returns the flags of a process that wants `--max-semi-space-size=1` and was started with `flags`. */
function flagsOf(flags: readonly string[], env: Readonly<Record<string, string>> = {}): unknown {
  const program = `
    import { restartWith } from ${JSON.stringify(pathToFileURL(helper('backhaul-agent')))};
    restartWith(['--max-semi-space-size=1']);
    console.log(JSON.stringify(process.execArgv.filter((flag) => flag.startsWith('--max-semi'))));`;
  const entry = ['--input-type=module', '--eval', program];
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, ...entry], {
    encoding: 'utf8',
    env: { ...env },
  });
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

describe('the start with flags for memory', { skip: process.platform === 'win32' }, () => {
  test('is one piece of code in both programs', () => {
    const [agent, server] = programs.map((name) => readFileSync(helper(name), 'utf8'));
    assert.equal(agent, server);
  });

  for (const name of programs) {
    test(`${name} starts where it may not start processes, too`, () => {
      const args = ['--permission', '--allow-fs-read=*', binPath(name), '--version'];
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: {} });
      assert.equal(status, 0, stderr);
    });
  }

  test('keeps the channel to a parent', async () => {
    await using directory = await temporaryDirectory();
    const program = directory.join('program.mjs');
    const url = JSON.stringify(pathToFileURL(helper('backhaul-agent')));
    const start = `import { restartWith } from ${url}; restartWith(['--max-semi-space-size=1']);`;
    await writeFile(program, `${start} process.send?.('here'); process.disconnect?.();`);
    const child = fork(program, { execPath: process.execPath, execArgv: [], silent: true });
    const said: unknown[] = [];
    child.on('message', (message) => said.push(message));
    await once(child, 'close');
    assert.deepEqual(said, ['here']);
  });

  test('leaves alone what the command line or NODE_OPTIONS say', () => {
    assert.deepEqual(flagsOf(['--max-semi-space-size=8']), ['--max-semi-space-size=8']);
    assert.deepEqual(flagsOf([], { NODE_OPTIONS: '--max-semi-space-size=8' }), []);
  });
});
