import { lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Program, type ProgramName, type ProgramOptions } from '../program.ts';
import { plainNpm, plainPath } from './plain-npm.ts';
import type { Tarball } from './tarballs.ts';

/** Packages as installed by `npm install ./a.tgz ./b.tgz`. */
export class Installation {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** @param directory Is created; must be outside of this repository, or npm would search it for packages. */
  static async make(directory: string, tarballs: Iterable<Tarball>): Promise<Installation> {
    await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, 'package.json'), '{ "private": true, "type": "module" }\n');
    const files = [...tarballs].map(({ file }) => file);
    await plainNpm('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...files], {
      cwd: directory,
    });
    return new Installation(directory);
  }

  /** Starts a program as a shell in that directory does, by its name in `node_modules/.bin`. */
  start(name: ProgramName, args: readonly string[], options: ProgramOptions = {}): Program {
    return new Program(name, {
      ...options,
      args,
      cwd: options.cwd ?? this.directory,
      installedIn: path.join(this.directory, 'node_modules', '.bin'),
      // The compile cache is off because an earlier run would affect the measurement.
      env: { PATH: plainPath, NODE_DISABLE_COMPILE_CACHE: '1', ...options.env },
    });
  }

  /** Returns the sorted names of all installed packages. */
  async packages(): Promise<string[]> {
    const folders = await packageFolders(path.join(this.directory, 'node_modules'));
    return folders.toSorted();
  }

  /** Returns the bytes of all files in `node_modules`, without file system overhead. */
  async sizeBytes(): Promise<number> {
    return await treeBytes(path.join(this.directory, 'node_modules'));
  }
}

async function packageFolders(modules: string, scope = ''): Promise<string[]> {
  const entries = await readdir(path.join(modules, scope), { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(async ({ name }) => {
        if (name.startsWith('@')) return await packageFolders(modules, name);
        const own = path.posix.join(scope, name);
        const inner = await packageFolders(path.join(modules, own, 'node_modules')).catch(() => []);
        return [own, ...inner];
      }),
  );
  return found.flat();
}

async function treeBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await lstat(path.join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
