import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A temporary directory for one test, removed after it. */
export async function scratchDirectory(): Promise<{ readonly path: string } & AsyncDisposable> {
  const directory = await mkdtemp(path.join(tmpdir(), 'backhaul-cli-'));
  return {
    path: directory,
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
