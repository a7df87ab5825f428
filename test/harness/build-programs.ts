import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const BUILD = fileURLToPath(new URL('../../tools/build.ts', import.meta.url));

/** Compiles the programs as published, for `{ compiled: true }`. */
export async function buildPrograms({ signal }: { signal: AbortSignal }): Promise<void> {
  const build = spawn(process.execPath, [BUILD], { stdio: ['ignore', 'ignore', 'inherit'], signal });
  const [code] = (await once(build, 'exit')) as [number | null];
  if (code !== 0) throw new Error('the programs could not be compiled');
}
