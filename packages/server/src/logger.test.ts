import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const LINE_BYTES = 1024;

/** Logs so many lines, says so on standard error, and ends with its input. */
const program = (lines: number): string => `
  import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))};
  const log = createLogger({ level: 'info', fileDescriptor: 1 });
  for (let line = 1; line <= ${lines}; line += 1) {
    log.info({ line }, 'x'.repeat(${LINE_BYTES}));
    if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  console.error('all logged');
`;

type Child = ChildProcessByStdio<null, Readable, Readable> & Disposable;

function startLogging(lines: number): Child {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program(lines)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill('SIGKILL') });
}

async function linesOf(child: Child): Promise<{ line?: number; lines?: number; level: number }[]> {
  const written = await text(child.stdout);
  return written
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { line?: number; lines?: number; level: number });
}

test('a log that nobody reads stops nothing, and what it holds is not lost', async () => {
  // Eight times what a pipe holds.
  const count = 512;
  using child = startLogging(count);
  assert.match(String(await once(child.stderr, 'data')), /all logged/);
  const read = await linesOf(child);
  assert.deepEqual(
    read.map(({ line }) => line),
    Array.from({ length: count }, (_, index) => index + 1),
  );
});

test('what a log cannot hold any more is dropped, and counted in it', async () => {
  const count = 20_000;
  using child = startLogging(count);
  assert.match(String(await once(child.stderr, 'data')), /all logged/);
  const read = await linesOf(child);
  const dropped = read.reduce((sum, { lines = 0 }) => sum + lines, 0);
  const kept = read.filter(({ line }) => line !== undefined);
  assert.ok(dropped > 0, 'none was dropped');
  assert.equal(kept.length + dropped, count);
});
