import assert from 'node:assert/strict';
import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { setInterval } from 'node:timers/promises';
import { devFileSchema } from '@backhaul/protocol/dev-file';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import type { Installation } from '../harness/installation/installation.ts';

const SIZE_BYTES = 12 * 1024 * 1024 + 1;

/** Installation of each program. */
export interface Programs {
  readonly server: Installation;
  readonly agent: Installation;
  readonly cli: Installation;
}

/** Pulls a file of three parts with `backhaul-server --dev` in a new directory, and stops everything by SIGTERM. */
export async function pullAndCompare(directory: string, { server, agent, cli }: Programs): Promise<void> {
  await mkdir(directory);
  const file = path.join(directory, 'report.bin');
  await randomFile(file, SIZE_BYTES);

  await using running = server.start('backhaul-server', ['--dev', '--port', '0'], { cwd: directory });
  await running.line((line) => (line.startsWith('Backhaul is ready') ? true : undefined));
  const devFile = path.join(directory, '.backhaul', 'dev.json');
  const { server_url: url } = devFileSchema.parse(JSON.parse(await readFile(devFile, 'utf8')));
  const children = await childrenOf(running.pid);

  const args = ['--client-id', 'restaurant-1', '--file', file, '--server-url', url.replace(/^http/, 'ws')];
  await using connected = agent.start('backhaul-agent', args, { cwd: directory });
  await connected.line(logged('connected'));

  const copy = path.join(directory, 'copy.bin');
  const download = ['download', '--client-id', 'restaurant-1', '--output', copy];
  await using pull = cli.start('backhaul', download, { cwd: directory });
  const { code, stdout, stderr } = await pull.exit;
  assert.equal(code, 0, `${stdout}${stderr}`);
  const [sent, arrived] = await Promise.all([readFile(file), readFile(copy)]);
  assert.equal(sent.length, SIZE_BYTES);
  assert.ok(sent.equals(arrived), 'the same bytes');

  for (const program of [connected, running]) {
    program.kill('SIGTERM');
    const exit = await program.exit;
    assert.equal(exit.code, 0, `${program.name}: ${exit.signal} ${exit.stderr}`);
  }
  await assert.rejects(stat(devFile), { code: 'ENOENT' });
  if (process.platform === 'linux') assert.equal(children.length, 1, 'the embedded store is a child');
  await allEnded(children);
}

/** Works only on Linux. */
async function childrenOf(pid = 0): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** They are not our children, so there is no event to wait for. */
async function allEnded(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + 10_000;
  for await (const _ of setInterval(50)) {
    if (!pids.some(isRunning)) return;
    assert.ok(performance.now() < deadline, `still running: ${pids.join(', ')}`);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
