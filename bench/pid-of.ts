import type { Program } from '../test/harness/program.ts';

/** @throws Error if the program never started. */
export function pidOf({ name, pid }: Pick<Program, 'name' | 'pid'>): number {
  if (pid === undefined) throw new Error(`${name} did not start`);
  return pid;
}
