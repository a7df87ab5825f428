import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

const skip = process.platform !== 'linux' && 'processes are looked for in /proc';

test('Ctrl-C ends a soak, its programs and its files', { skip }, async () => {
  await using scratch = await temporaryDirectory();
  const child = spawn(process.execPath, [main, '--minutes', '1', '--agents', '1'], {
    env: { ...process.env, TMPDIR: scratch.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'close');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line === 'Faults begin') {
      assert.ok((await programsOf(scratch.path)) >= 4, 'soak, store, server and agent run');
      child.kill('SIGINT');
    }
  }
  assert.deepEqual(await exit, [130, null], lines.join('\n'));
  assert.equal(await programsOf(scratch.path), 0);
  assert.deepEqual(await readdir(scratch.path), []);
  assert.match(lines[0] ?? '', /seed \d+$/);
});

test('a mistake in the options of a soak is told, and nothing is started', async () => {
  const child = spawn(process.execPath, [main, '--agents', 'many'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  assert.deepEqual(await once(child, 'close'), [1, null]);
  assert.equal(output, 'soak: --agents is a whole number from 1 to 16\n');
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
