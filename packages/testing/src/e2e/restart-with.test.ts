import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { binPath } from '../program.ts';

const programs = ['backhaul-agent', 'backhaul-server'] as const;
const helper = (name: (typeof programs)[number]) => binPath(name).replace(/[^/\\]+$/, 'restart-with.js');

/** What flags a process has that wants `--max-semi-space-size=1`, started with `flags`. */
function flagsOf(flags: readonly string[], env: Readonly<Record<string, string>> = {}): unknown {
  const program = `
    import { restartWith } from ${JSON.stringify(helper('backhaul-agent'))};
    restartWith(['--max-semi-space-size=1']);
    console.log(JSON.stringify(process.execArgv.filter((flag) => flag.includes('semi-space'))));`;
  const url = `data:text/javascript,${encodeURIComponent(program.replaceAll('"/', '"file:///'))}`;
  const entry = ['--input-type=module', '--eval', `await import(${JSON.stringify(url)})`];
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

    test(`${name} keeps the channel to its parent`, async () => {
      const child = fork(binPath(name), ['--version'], { execPath: process.execPath, silent: true });
      let ended = false;
      child.once('exit', () => (ended = true));
      await Promise.race([once(child, 'disconnect'), once(child, 'exit')]);
      // Without the channel it would be told of the loss long before the program ends.
      if (!ended) await once(child, 'exit');
      assert.equal(child.exitCode, 0);
    });
  }

  test('leaves alone what the command line or NODE_OPTIONS say', () => {
    assert.deepEqual(flagsOf(['--max-semi-space-size=8']), ['--max-semi-space-size=8']);
    assert.deepEqual(flagsOf([], { NODE_OPTIONS: '--max-semi-space-size=8' }), []);
  });
});
