import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { randomFile } from '../test/harness/random-file.ts';
import { temporaryDirectory } from '../test/harness/temporary-directory.ts';
import { mostAtOnce } from '../test/harness/access-log.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

function startDemo(args: readonly string[], tmp: string) {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, TMPDIR: tmp },
    stdio: 'pipe',
  });
  let output = '';
  const waiters: { text: string; resolve: () => void }[] = [];
  const collect = (text: string): void => {
    output += text;
    for (const waiter of waiters) if (output.includes(waiter.text)) waiter.resolve();
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  const exit = once(child, 'close').then(([code]) => code as number | null);
  return {
    child,
    exit,
    output: () => output,
    /** Resolves when the text has been printed or the demo has ended. */
    printed: (text: string) =>
      Promise.race([new Promise<void>((resolve) => waiters.push({ text, resolve })), exit]),
  };
}

test('the demo pulls a file of the user’s, says that it is the same, and leaves nothing behind', async () => {
  await using directory = await temporaryDirectory();
  await using scratch = await temporaryDirectory();
  const file = directory.join('mine.bin');
  const sha256 = await randomFile(file, 12 * 1024 * 1024);
  const demo = startDemo(['--file', file], scratch.path);
  assert.equal(await demo.exit, 0, demo.output());
  assert.equal(demo.output().split(sha256).length - 1, 2, demo.output());
  assert.match(demo.output(), /in 3 parts/);
  const share = /\(([\d.]+) % of the file\)/.exec(demo.output())?.[1];
  assert.ok(Number(share) < 1, `the server carried ${share} %`);
  assert.deepEqual(await readdir(scratch.path), []);
});

test('Ctrl-C ends a demo that was to be kept, its programs and its files', async () => {
  await using directory = await temporaryDirectory();
  await using scratch = await temporaryDirectory();
  const file = directory.join('mine.bin');
  await randomFile(file, 1024);
  const demo = startDemo(['--keep', '--file', file], scratch.path);
  await demo.printed('Ctrl-C here');
  const url = /Running at (\S+)/.exec(demo.output())?.[1];
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  demo.child.kill('SIGINT');
  assert.equal(await demo.exit, 0, demo.output());
  await assert.rejects(fetch(`${url}/healthz`));
  assert.deepEqual(await readdir(scratch.path), []);
});

test('a demo of a file that is not there says so and fails', async () => {
  await using scratch = await temporaryDirectory();
  const demo = startDemo(['--file', '/nowhere/at/all'], scratch.path);
  assert.equal(await demo.exit, 1);
  assert.match(demo.output(), /--file \/nowhere\/at\/all: there is no such file/);
});

test('overlapping requests are counted, adjoining ones are not', () => {
  const entry = (started_at_ms: number, ended_at_ms: number) => ({
    operation: 'UploadPart',
    part_number: 1,
    status: 200,
    bytes_in: 0,
    started_at_ms,
    ended_at_ms,
  });
  assert.equal(mostAtOnce([entry(0, 10), entry(10, 20)]), 1);
  assert.equal(mostAtOnce([entry(0, 10), entry(5, 20), entry(9, 11)]), 3);
});
