import type { Program } from '../program.ts';

/** @throws Error if it never started. */
export function pidOf({ name, pid }: Pick<Program, 'name' | 'pid'>): number {
  if (pid === undefined) throw new Error(`${name} did not start`);
  return pid;
}
