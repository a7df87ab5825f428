import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';

const MAX_WAITING = 4 * 1024 * 1024;
const LINE_BYTES = 1024;
/** Eight times what a pipe holds. */
const MORE_THAN_A_PIPE = 512;
/** Twice what may wait. */
const MORE_THAN_MAY_WAIT = (2 * MAX_WAITING) / LINE_BYTES;

/** Writes so many numbered lines, a hundred in each turn, says so on standard error, and then does `end`. */
const program = (lines: number, end: string): string => `
  import { LogWriter } from ${JSON.stringify(new URL('log-writer.ts', import.meta.url))};
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

/** What waits for nobody is done in a second or two; what waits does so for ever. */
const AT_MOST = { timeout: 30_000 };

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

test('a log that nobody reads stops nothing, and is read whole later', AT_MOST, async (t) => {
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

test('lines beyond what may wait are dropped, and counted where they are missing', AT_MOST, async (t) => {
  using child = startLogging(t, MORE_THAN_MAY_WAIT, { end: HELD_OPEN });
  await allLogged(child);
  const kept: number[] = [];
  let dropped: number | undefined;
  let cut = '';
  for await (const chunk of child.stdout ?? []) {
    const pieces = (cut + String(chunk)).split('\n');
    cut = pieces.pop() ?? '';
    for (const piece of pieces) {
      const { line, lines } = JSON.parse(piece) as Line;
      if (line !== undefined) kept.push(line);
      dropped = lines ?? dropped;
    }
    if (dropped !== undefined) break;
  }
  assert.ok(dropped !== undefined && dropped > 0);
  assert.deepEqual(kept, numbered(MORE_THAN_MAY_WAIT - dropped));
});

for (const [name, end] of [
  ['returns', ''],
  ['exits', 'process.exit(1);'],
  ['throws', 'throw new Error("a fault");'],
  ['rejects', 'await Promise.reject(new Error("a fault"));'],
] as const) {
  test(`what was logged just before the program ${name} is written`, AT_MOST, async (t) => {
    using child = startLogging(t, MORE_THAN_A_PIPE + 1, { end });
    const read = await linesOf(child);
    assert.deepEqual(
      read.map(({ line }) => line),
      numbered(MORE_THAN_A_PIPE + 1),
    );
  });
}

test('a reader that has stopped holds up the end by a second only', AT_MOST, async (t) => {
  using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);' });
  await allLogged(child);
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 3);
});

test('a reader that has gone ends nothing', AT_MOST, async (t) => {
  using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);' });
  child.stdout?.destroy();
  await allLogged(child);
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 3);
});

test(
  'a full disk ends nothing, and does not hold up the end',
  { ...AT_MOST, skip: process.platform !== 'linux' },
  async (t) => {
    const full = openSync('/dev/full', 'w');
    using child = startLogging(t, MORE_THAN_A_PIPE, { end: 'process.exit(3);', output: full });
    closeSync(full);
    await allLogged(child);
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 3);
  },
);
