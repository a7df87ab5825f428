import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';

const MAX_WAITING = 4 * 1024 * 1024;
const LINE_BYTES = 1024;
/** Eight times the capacity of a pipe. */
const MORE_THAN_A_PIPE = 512;
/** Twice the queue limit. */
const MORE_THAN_THE_QUEUE = (2 * MAX_WAITING) / LINE_BYTES;

/** Writes the given number of numbered lines, a hundred per turn, reports that on standard error, then runs `end`. */
const program = (lines: number, end: string): string => `
  import { LogWriter } from ${JSON.stringify(new URL('log.ts', import.meta.url))};
  const log = new LogWriter(1, {
    maxWaiting: ${MAX_WAITING},
    describeDropped: (lines) => JSON.stringify({ lines }) + '\\n',
  });
  for (let line = 1; line <= ${lines}; line += 1) {
    log.write(JSON.stringify({ line, filler: 'x'.repeat(${LINE_BYTES}) }) + '\\n');
    if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  process.stderr.write('all logged\\n');
  ${end}
`;

const HELD_OPEN = 'setInterval(() => undefined, 1000);';

interface Line {
  readonly line?: number;
  readonly lines?: number;
}

type Child = ChildProcess & Disposable;

/** A non-blocking writer finishes within a second or two; a blocking one never does. */
const TIMEOUT = { timeout: 30_000 };

/** @param options.output A descriptor; by default a pipe that this process may read. */
function startLogging(
  { signal }: TestContext,
  lines: number,
  { end = '', output = 'pipe' }: { end?: string; output?: 'pipe' | number } = {},
): Child {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program(lines, end)], {
    stdio: ['ignore', output, 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  child.on('error', () => undefined);
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill('SIGKILL') });
}

async function allLogged(child: Child): Promise<void> {
  assert.ok(child.stderr !== null);
  assert.match(String(await once(child.stderr, 'data')), /all logged/);
}

async function linesOf(child: Child): Promise<Line[]> {
  assert.ok(child.stdout !== null);
  const written = await text(child.stdout);
  return written
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

function numbered(count: number): Line['line'][] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

test('a log without a reader blocks nothing and can be read in full later', TIMEOUT, async (t) => {
  using child = startLogging(t, MORE_THAN_A_PIPE, { end: HELD_OPEN });
  await allLogged(child);
  const reading: Promise<string[]> = (async () => {
    const lines: string[] = [];
    let cut = '';
    for await (const chunk of child.stdout ?? []) {
      const pieces = (cut + String(chunk)).split('\n');
      cut = pieces.pop() ?? '';
      lines.push(...pieces);
      if (lines.length === MORE_THAN_A_PIPE) break;
    }
    return lines;
  })();
  assert.deepEqual(
    (await reading).map((line) => (JSON.parse(line) as Line).line),
    numbered(MORE_THAN_A_PIPE),
  );
});

test(
  'lines beyond the queue limit are dropped, and a line in their position reports how many',
  TIMEOUT,
  async (t) => {
    using child = startLogging(t, MORE_THAN_THE_QUEUE, { end: HELD_OPEN });
    await allLogged(child);
    const written: number[] = [];
    let dropped: number | undefined;
    let cut = '';
    for await (const chunk of child.stdout ?? []) {
      const pieces = (cut + String(chunk)).split('\n');
      cut = pieces.pop() ?? '';
      for (const piece of pieces) {
        const { line, lines } = JSON.parse(piece) as Line;
        if (line !== undefined) written.push(line);
        dropped = lines ?? dropped;
      }
      if (dropped !== undefined) break;
    }
    assert.ok(dropped !== undefined && dropped > 0);
    assert.deepEqual(written, numbered(MORE_THAN_THE_QUEUE - dropped));
  },
);

for (const [name, end] of [
  ['returns', ''],
  ['exits', 'process.exit(1);'],
  ['throws', 'throw new Error("a fault");'],
  ['rejects', 'await Promise.reject(new Error("a fault"));'],
] as const) {
  test(`lines logged just before the program ${name} are written`, TIMEOUT, async (t) => {
    using child = startLogging(t, MORE_THAN_A_PIPE + 1, { end });
    const read = await linesOf(child);
    assert.deepEqual(
      read.map(({ line }) => line),
      numbered(MORE_THAN_A_PIPE + 1),
    );
  });
}

test('a stuck reader delays the exit by one second at most', TIMEOUT, async (t) => {
  using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);' });
  await allLogged(child);
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 3);
});

test('a reader that has exited does not stop the program', TIMEOUT, async (t) => {
  using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);' });
  child.stdout?.destroy();
  await allLogged(child);
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 3);
});

test(
  'a full disk neither stops the program nor delays its exit',
  { ...TIMEOUT, skip: process.platform !== 'linux' },
  async (t) => {
    const full = openSync('/dev/full', 'w');
    using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);', output: full });
    closeSync(full);
    await allLogged(child);
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 3);
  },
);
