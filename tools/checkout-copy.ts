import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A copy of the sources, including uncommitted files, in a folder that is removed on dispose. */
export class CheckoutCopy implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async of(checkout: string): Promise<CheckoutCopy> {
    const copy = new CheckoutCopy(await mkdtemp(join(tmpdir(), 'backhaul-copy-')));
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: checkout,
      encoding: 'utf8',
    });
    for (const file of listed.split('\0').filter((name) => name !== '' && existsSync(join(checkout, name)))) {
      await mkdir(dirname(join(copy.root, file)), { recursive: true });
      await cp(join(checkout, file), join(copy.root, file));
    }
    await copy.#linkModules(join(checkout, 'node_modules'), join(copy.root, 'node_modules'));
    return copy;
  }

  /** Writes a file, or appends to it if it exists. */
  async plant({ path, text }: { readonly path: string; readonly text: string }): Promise<void> {
    const file = join(this.root, path);
    const present = await readFile(file, 'utf8').catch(() => '');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, present + text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  /** Links libraries to those of the checkout. Workspaces, which are relative links, point into the copy. */
  async #linkModules(from: string, to: string): Promise<void> {
    await mkdir(to, { recursive: true });
    for (const entry of await readdir(from, { withFileTypes: true })) {
      const source = join(from, entry.name);
      const target = join(to, entry.name);
      // Caches of tools must not be shared between runs.
      if (entry.name === '.cache') continue;
      const holdsLinks = entry.name.startsWith('@') || entry.name === '.bin';
      if (entry.isSymbolicLink()) await cp(source, target, { verbatimSymlinks: true });
      else if (holdsLinks) await this.#linkModules(source, target);
      else await symlink(source, target);
    }
  }
}
