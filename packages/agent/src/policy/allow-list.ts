import { lstat, realpath } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';
import type { Platform } from '../platform/platform.ts';

interface AllowListOptions {
  /** `--allow`, absolute. */
  readonly directories: readonly string[];
  /** `--file`, absolute. */
  readonly file: string | null;
  readonly platform: Platform;
}

/**
 * What the machine's owner lets be read: regular files under the `--allow` directories, and the `--file` itself.
 * Empty means nothing. It is made from flags at start; no message reaches it.
 *
 * Every path is judged twice: by its spelling before anything is opened (`admit`), and by where the opened
 * descriptor really is (`confirm`).
 */
export class AllowList {
  readonly #directories: readonly string[];
  readonly #file: string | null;
  readonly #platform: Platform;
  /** Where each directory of the list led when it was first seen. */
  readonly #pinned = new Map<string, string>();

  constructor({ directories, file, platform }: AllowListOptions) {
    this.#directories = directories;
    this.#file = file;
    this.#platform = platform;
  }

  /** For the owner and for `health_check`. */
  describe(): string[] {
    return [...this.#directories, ...(this.#file === null ? [] : [this.#file])];
  }

  /**
   * The path to open. Outside the list the answer is the same whether or not something is there, also when it
   * is a symbolic link inside the list that leads out.
   *
   * @throws BackhaulError `invalid_path`, `path_not_allowed`
   */
  async admit(path: string): Promise<string> {
    const normal = this.#normalize(path);
    const root = this.#rootOf(this.#platform.pathKey(normal));
    if (root === undefined || this.#platform.isOffLimits(normal)) throw notAllowed(path);
    const nearest = await this.#nearestExisting(this.#platform.path.dirname(normal), root);
    if (nearest !== null && !(await this.#holdsDirectory(nearest, root))) throw notAllowed(path);
    return normal;
  }

  /** @throws BackhaulError `path_not_allowed` unless the real path lies in the list, its own links resolved. */
  async confirm(realPath: string, asked: string): Promise<void> {
    if (this.#platform.isOffLimits(realPath)) throw notAllowed(asked);
    const platform = this.#platform;
    const file = await this.#realFile();
    if (file !== null && platform.pathKey(realPath) === platform.pathKey(file)) return;
    for (const root of await this.#realDirectories()) {
      if (this.#isWithin(realPath, root)) return;
    }
    throw notAllowed(asked);
  }

  #normalize(path: string): string {
    const problem =
      path.includes('\0') || !path.isWellFormed() || path.includes('\u{FFFD}')
        ? 'it is not valid UTF-8 text; a file whose name is not UTF-8 must be renamed before it can be pulled'
        : !this.#platform.path.isAbsolute(path)
          ? 'it must be absolute'
          : this.#platform.pathProblem(path);
    if (problem !== null) throw new BackhaulError('invalid_path', `The path cannot be used: ${problem}.`);
    return this.#platform.path.resolve(path);
  }

  /** The entry of the list that covers a path, by its key. */
  #rootOf(key: string): string | undefined {
    if (this.#file !== null && this.#platform.pathKey(this.#file) === key) return this.#file;
    return this.#directories.find((directory) => this.#isWithin(key, this.#platform.pathKey(directory)));
  }

  /** The real path of the closest directory that exists, from `path` up to `root`; null if not even the root does. */
  async #nearestExisting(path: string, root: string): Promise<string | null> {
    const top = this.#platform.pathKey(root === this.#file ? this.#platform.path.dirname(root) : root);
    for (
      let at = path;
      this.#isWithin(this.#platform.pathKey(at), top);
      at = this.#platform.path.dirname(at)
    ) {
      try {
        return await realpath(at);
      } catch {
        // Missing or unreadable: the open will say so, once it is known that the way there stays inside.
      }
      if (at === this.#platform.path.dirname(at)) break;
    }
    return null;
  }

  async #holdsDirectory(realPath: string, root: string): Promise<boolean> {
    if (root === this.#file) return (await this.#realFile()) !== null;
    return (await this.#realDirectories()).some((directory) => this.#isWithin(realPath, directory));
  }

  /** Resolved at each use, so that a directory mounted later counts from then on. */
  async #realDirectories(): Promise<string[]> {
    const real = await Promise.all(this.#directories.map((directory) => this.#pin(directory)));
    return real.filter((directory) => directory !== null);
  }

  /**
   * Where a directory of the list really is; null once that is another place than at first. Whoever may replace it
   * by a link must not decide what else this agent reads.
   */
  async #pin(directory: string): Promise<string | null> {
    const real = await realpath(directory).catch(() => null);
    const pinned = this.#pinned.get(directory) ?? real;
    if (pinned === null) return directory;
    this.#pinned.set(directory, pinned);
    return real === null || real === pinned ? pinned : null;
  }

  /** Its directory's links are resolved; were it a link itself, opening it would have failed. */
  async #realFile(): Promise<string | null> {
    if (this.#file === null) return null;
    const { path } = this.#platform;
    const directory = await this.#pin(path.dirname(this.#file));
    return directory === null ? null : path.join(directory, path.basename(this.#file));
  }

  #isWithin(path: string, root: string): boolean {
    if (path === root) return true;
    const { sep } = this.#platform.path;
    return path.startsWith(root.endsWith(sep) ? root : root + sep);
  }

  /** What the owner should know at start: each sentence names the flag. From here on the list stays where it leads. */
  async findings(): Promise<string[]> {
    const findings: string[] = [];
    await Promise.all([this.#realDirectories(), this.#realFile()]);
    if (this.#directories.length === 0 && this.#file === null) {
      findings.push('Nothing may be read: give --file or --allow.');
    }
    for (const directory of this.#directories) {
      const found = await realpath(directory)
        .then((real) => lstat(real))
        .catch(() => null);
      if (found === null) findings.push(`--allow ${directory}: there is no such directory yet.`);
      else if (!found.isDirectory()) {
        findings.push(`--allow ${directory}: not a directory; use --file for a single file.`);
      }
      if (this.#platform.isOffLimits(directory))
        findings.push(`--allow ${directory}: never read, by design.`);
    }
    if (this.#file !== null) {
      const found = await lstat(this.#file).catch(() => null);
      if (found === null) findings.push(`--file ${this.#file}: there is no such file yet.`);
      else if (found.isSymbolicLink()) {
        findings.push(`--file ${this.#file}: symbolic links are refused; give the file they lead to.`);
      } else if (!found.isFile()) findings.push(`--file ${this.#file}: not a regular file.`);
    }
    return findings;
  }
}

function notAllowed(path: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `This agent's owner does not allow ${JSON.stringify(path)}. Directories are allowed on the agent's machine with --allow.`,
  );
}
