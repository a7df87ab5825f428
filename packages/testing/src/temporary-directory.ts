import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A real directory that is gone afterwards. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** A path inside it. */
  join(...names: string[]): string;
}

export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const directory = await realpath(await mkdtemp(path.join(tmpdir(), 'backhaul-test-')));
  return {
    path: directory,
    join: (...names) => path.join(directory, ...names),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
