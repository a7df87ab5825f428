import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../test/harness/temporary-directory.ts';

const endless = fileURLToPath(new URL('fakes/endless-bench-main.ts', import.meta.url));
const main = fileURLToPath(new URL('main.ts', import.meta.url));

const skip = process.platform !== 'linux' && 'processes are looked for in /proc';

test('Ctrl-C ends a benchmark, its programs and its files', { skip }, async () => {
  await using scratch = await temporaryDirectory();
  const child = spawn(process.execPath, [endless], {
    env: { ...process.env, TMPDIR: scratch.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'close');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.endsWith('measuring')) {
      assert.equal(await programsOf(scratch.path), 2, 'the benchmark and what it measures run');
      assert.notDeepEqual(await readdir(scratch.path), []);
      child.kill('SIGINT');
    }
  }
  assert.deepEqual(await exit, [130, null], lines.join('\n'));
  assert.equal(await programsOf(scratch.path), 0);
  assert.deepEqual(await readdir(scratch.path), []);
  assert.match(lines.join('\n'), /^ {3}0:0\d {2}measuring$/m);
});

test('a mistake in the options of a benchmark is told, and nothing is compiled', async () => {
  const child = spawn(process.execPath, [main, '--fast'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (text) => (output[name] += String(text)));
  }
  assert.deepEqual(await once(child, 'close'), [2, null]);
  assert.equal(output.stdout, '');
  assert.match(output.stderr, /^bench: .*--fast/);
});

/** Counts processes whose temporary directory is this one. */
async function programsOf(directory: string): Promise<number> {
  let count = 0;
  for (const pid of await readdir('/proc')) {
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    if (environment.split('\0').includes(`TMPDIR=${directory}`)) count += 1;
  }
  return count;
}
