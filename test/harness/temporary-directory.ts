import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A directory on disk that is removed on disposal. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** Returns a path inside the directory. */
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
