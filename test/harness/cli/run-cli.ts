import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';

export const program = path.join(import.meta.dirname, '../../../packages/cli/bin/backhaul.js');

export interface CliOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

export type CliProcess = ChildProcessByStdio<null, Readable, Readable>;

/** Starts the real program as its own process, without this process's environment. */
export function startCli(args: readonly string[], { env = {}, cwd }: CliOptions = {}): CliProcess {
  return spawn(process.execPath, [program, ...args], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

export async function finishCli(child: CliProcess): Promise<CliResult> {
  const [stdoutBytes, stderr, [code]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code, stdoutBytes, stdout: stdoutBytes.toString(), stderr };
}

export async function runCli(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return await finishCli(startCli(args, options));
}
