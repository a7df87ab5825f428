import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Stage } from '../harness/stage.ts';

const MAIN = fileURLToPath(new URL('attacker-main.ts', import.meta.url));
const MiB = 1024 * 1024;
const REPEATS = Number(process.env['HOSTILE_REPEATS'] ?? 1);
const ATTACK_MS = Number(process.env['HOSTILE_SECONDS'] ?? 60) * 1000;
/** Delay before the effect on others is measured. */
const SETTLE_MS = 5000;
const MAX_GROWTH_BYTES = 60 * MiB;
/** A shorter wait goes unnoticed, whatever its ratio. */
const UNNOTICED_MS = 100;

/** 25 Mbit/s, and unlimited. */
for (const { attackers, bytesPerSecond } of [
  { attackers: 1, bytesPerSecond: 25e6 / 8 },
  { attackers: 5, bytesPerSecond: 1e9 },
]) {
  test(`${attackers} agents that send costly frames are disconnected, and others are served`, async (t) => {
    await using stage = await Stage.start();
    const till = await stage.startAgent('till', []);
    const quiet = await measure(stage, 10_000);
    for (let round = 1; round <= REPEATS; round += 1) {
      const before = await residentBytes(stage);
      const logBefore = stage.server.output.stdout.length;
      const children = await Promise.all(
        Array.from({ length: attackers }, (_, index) =>
          startAttacker(stage, `attacker-${index}`, bytesPerSecond),
        ),
      );
      await sleep(SETTLE_MS);
      const under = await measure(stage, ATTACK_MS - SETTLE_MS);
      const counts = await Promise.all(children.map(stopAttacker));
      const after = await lowestResident(stage, before + MAX_GROWTH_BYTES);
      const lines = stage.server.output.stdout.slice(logBefore).split('\n');
      const fastest = mostLinesASecond(lines);
      t.diagnostic(`round ${round}: ${JSON.stringify(counts)}`);
      t.diagnostic(`quiet ${JSON.stringify(quiet)}, under attack ${JSON.stringify(under)}`);
      t.diagnostic(`RSS ${Math.round(before / MiB)} MiB, afterwards ${Math.round(after / MiB)} MiB`);
      t.diagnostic(`${lines.length} lines of log, at most ${fastest} warnings a second of one connection`);

      assert.ok(
        counts.every(({ closedForAbuse }) => closedForAbuse >= 1),
        'an attacker was not disconnected',
      );
      for (const kind of ['health', 'healthz'] as const) {
        assert.ok(
          under[kind] <= Math.max(UNNOTICED_MS, 3 * quiet[kind]),
          `${kind}: p95 of ${under[kind]} ms`,
        );
      }
      assert.ok(after <= before + MAX_GROWTH_BYTES, `${Math.round((after - before) / MiB)} MiB more`);
      assert.ok(fastest <= 2, `${fastest} warnings of one connection within a second`);
    }
    await till.stop();
  });
}

async function startAttacker(stage: Stage, clientId: string, bytesPerSecond: number): Promise<ChildProcess> {
  const args = [MAIN, stage.webSocketUrl, await stage.tokens.agent(clientId), String(bytesPerSecond)];
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function stopAttacker(
  child: ChildProcess,
): Promise<{ frames: number; connections: number; closedForAbuse: number; keptAway: number }> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  assert.equal(child.exitCode, null, 'an attacker ended before its time');
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await once(child, 'close');
  clearTimeout(timer);
  return JSON.parse(text) as Awaited<ReturnType<typeof stopAttacker>>;
}

/** Returns the 95th percentiles of another agent's command and of a request, in milliseconds. */
async function measure(stage: Stage, forMs: number): Promise<{ health: number; healthz: number }> {
  const until = performance.now() + forMs;
  const taken = { health: [] as number[], healthz: [] as number[] };
  while (performance.now() < until) {
    taken.health.push(
      await timed(stage, '/clients/till/commands/health_check', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      }),
    );
    taken.healthz.push(await timed(stage, '/healthz'));
    await sleep(50);
  }
  const percentile = (values: number[]) =>
    Math.round(values.toSorted((one, two) => one - two)[Math.floor(values.length * 0.95)] ?? Infinity);
  return { health: percentile(taken.health), healthz: percentile(taken.healthz) };
}

async function timed(stage: Stage, path: string, init: RequestInit = {}): Promise<number> {
  const started = performance.now();
  const answer = await stage.fetch(path, init);
  await answer.text();
  assert.equal(answer.status, 200);
  return performance.now() - started;
}

async function residentBytes(stage: Stage): Promise<number> {
  const status = await readFile(`/proc/${stage.server.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Returns the lowest resident memory within a minute. */
async function lowestResident(stage: Stage, enough: number): Promise<number> {
  const until = performance.now() + 60_000;
  let lowest = await residentBytes(stage);
  while (lowest > enough && performance.now() < until) {
    await sleep(500);
    lowest = Math.min(lowest, await residentBytes(stage));
  }
  return lowest;
}

/** Counts warnings of one connection in the same second of the clock. */
function mostLinesASecond(lines: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const line of lines) {
    if (!line.startsWith('{')) continue;
    const { level, time, sessionId } = JSON.parse(line) as {
      level: number;
      time: number;
      sessionId?: string;
    };
    if (level < 40 || sessionId === undefined) continue;
    const second = `${sessionId} ${Math.floor(time / 1000)}`;
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}
