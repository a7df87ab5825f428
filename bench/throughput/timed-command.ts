import { type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { parseChildrenSeconds } from '../../test/harness/process-usage.ts';

export interface CommandUsage {
  /** Seconds from start to end. */
  readonly seconds: number;
  /** User and system time of the command and its descendants. */
  readonly cpuSeconds: number;
}

/**
 * Runs a command to its end. Only one command may run at a time: CPU time is that of all ended children of this
 * process.
 *
 * @throws Error with the end of its output if it fails; the signal's reason.
 */
export async function timedCommand(
  [command, ...args]: readonly [string, ...string[]],
  { env, signal }: { env?: Readonly<Record<string, string>>; signal: AbortSignal },
): Promise<CommandUsage> {
  const options: SpawnOptions = { env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env }, signal };
  const cpuBefore = await childrenSeconds();
  const startedAt = performance.now();
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-2000)));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  const seconds = (performance.now() - startedAt) / 1000;
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${output.trim()}`);
  return { seconds, cpuSeconds: (await childrenSeconds()) - cpuBefore };
}

async function childrenSeconds(): Promise<number> {
  return parseChildrenSeconds(await readFile('/proc/self/stat', 'utf8'));
}
