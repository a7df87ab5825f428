import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { binPath } from '../program.ts';
import { randomFile } from '../random-file.ts';
import { Stage } from '../stage.ts';

/**
 * 1 Mbit/s, by the agent's own limit: a proxy that reads slowly has socket buffers of up to a megabyte, whose bytes are
 * acknowledged, and what it reads is acknowledged in steps.
 */
const LINE_BYTES_PER_SECOND = 125_000;
const SECONDS = 20;
/** Of so little left, the second between two reports would be much. */
const NEAR_THE_END_MS = 4000;

/** What the bar shows, e.g. `34%  0/1 parts  0.9 MB of 2.5 MB  124 kB/s  ETA 13 s`. */
const drawn = /(?<percent>\d+)% .*?(?: ETA (?:(?<minutes>\d+) min )?(?<seconds>[\d.]+) s)?$/;

test('the bar of a small file at 1 Mbit/s moves from the second second on, and its forecast holds', async (t) => {
  await using stage = await Stage.start();
  const file = stage.directory.join('small.bin');
  await randomFile(file, SECONDS * LINE_BYTES_PER_SECOND);
  await stage.startAgent('till', ['--file', file, '--max-rate', String(LINE_BYTES_PER_SECOND)]);

  const frames: { at: number; text: string }[] = [];
  const command = [process.execPath, binPath('backhaul'), 'download', '--client-id', 'till'];
  // A pseudo-terminal, as a person's.
  const cli = spawn('script', ['-qefc', command.join(' '), '/dev/null'], {
    env: {
      PATH: process.env['PATH'],
      TERM: 'xterm',
      BACKHAUL_URL: stage.url,
      BACKHAUL_TOKEN: stage.operatorToken,
    },
    cwd: stage.directory.path,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cli.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    for (const text of chunk.split('\r\u001b[K')) frames.push({ at: performance.now(), text });
  });
  const [code] = (await once(cli, 'close')) as [number];
  assert.equal(code, 0);

  const bars = frames.flatMap(({ at, text }) => {
    const { percent, minutes = '0', seconds } = drawn.exec(text)?.groups ?? {};
    if (percent === undefined) return [];
    const etaMs = seconds === undefined ? null : (Number(minutes) * 60 + Number(seconds)) * 1000;
    return [{ at, percent: Number(percent), etaMs }];
  });
  const startedAt = bars[0]?.at ?? assert.fail('no bar was drawn');
  const endedAt =
    frames.find(({ text }) => text.includes('complet'))?.at ?? assert.fail('it did not come to its end');
  const second = bars.findLast(({ at }) => at - startedAt <= 2500);
  t.diagnostic(
    `after 2.5 s: ${JSON.stringify(second)}; the transfer took ${Math.round(endedAt - startedAt)} ms`,
  );
  assert.ok(
    (second?.percent ?? 0) > 0 && second?.etaMs !== null,
    'progress and forecast in the second second',
  );
  const later = bars.filter(({ at }) => at - startedAt > 10_000 && endedAt - at > NEAR_THE_END_MS);
  assert.ok(later.length > 10);
  const errors = later.map(({ at, etaMs }) => Math.abs((etaMs ?? Infinity) / (endedAt - at) - 1));
  t.diagnostic(`after 10 s the forecast is off by ${Math.round(Math.max(...errors) * 100)} % at most`);
  assert.ok(Math.max(...errors) < 0.25);
  assert.ok(
    bars.every(({ percent }, index) => percent >= (bars[index - 1]?.percent ?? 0)),
    'nothing was cut off, so it never goes back',
  );
});
