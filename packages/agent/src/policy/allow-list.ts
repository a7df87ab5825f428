import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';
import { FileCallTimeout, nullUnlessTimeout } from '../file/file-error.ts';
import type { FileGate } from '../file/file-gate.ts';
import type { GatedFile } from '../file/gated-file.ts';
import type { Platform } from '../platform/platform.ts';
import { requireOwnLink } from './hard-links.ts';
import { OwnFiles } from './own-files.ts';

interface AllowListDeps {
  /** `--allow`: absolute paths. */
  readonly directories: readonly string[];
  /** `--file`: absolute paths. */
  readonly files: readonly string[];
  readonly platform: Platform;
  readonly gate: FileGate;
  /** Files that are never read, even if the list covers them. */
  readonly ownFiles?: OwnFiles;
  /** `--allow-hard-links`. */
  readonly hardLinks?: boolean;
}

/** Maximum wait at startup for a directory on a hanging file system. */
const START_TIMEOUT_MS = 5000;

/** A path that may be opened; the opened file must then pass `checkRealPath`. */
export interface CheckedPath {
  /** The requested path, with `.` and `..` resolved. */
  readonly path: string;
  /** The path to open: the same with links in its directories resolved. */
  readonly realPath: string;
}

/**
 * The files that the machine's owner allows to be read: regular files under the `--allow` directories, and the `--file`
 * paths. Empty means none. It is created from flags at startup; no message can change it.
 *
 * Every path is checked twice: by its spelling and the links in its directories before the open (`checkPath`), and by the
 * real path of the opened descriptor (`checkRealPath`).
 */
export class AllowList {
  readonly #deps: Required<AllowListDeps>;
  /** Real path of each directory of the list at startup. */
  readonly #pinned = new Map<string, string>();

  constructor(deps: AllowListDeps) {
    const { platform, gate } = deps;
    const ownFiles = new OwnFiles({ files: [], directories: [], platform, gate });
    this.#deps = { ownFiles, hardLinks: false, ...deps };
  }

  /** The allowed paths, for the log and for `health_check`. */
  describe(): string[] {
    return [...this.#deps.directories, ...this.#deps.files];
  }

  /**
   * Checks a path before the open. Outside the list the error is the same whether or not the file exists, also for a
   * symbolic link inside the list that points out of it.
   *
   * @throws BackhaulError `invalid_path`, `path_not_allowed`; FileCallTimeout
   */
  async checkPath(requested: string): Promise<CheckedPath> {
    const { path: paths, pathKey } = this.#deps.platform;
    const path = this.#normalize(requested);
    const entry = this.#entryOf(pathKey(path));
    if (entry === undefined || this.#deps.platform.isOffLimits(path)) throw notAllowed(requested);
    const { flag, directory } = entry;
    const root = await this.#pin(directory);
    if (root === null) throw replaced(entry);
    if (flag === '--file') return { path, realPath: paths.join(root, paths.basename(path)) };
    if (pathKey(path) === pathKey(directory)) return { path, realPath: root };
    const range = { from: paths.dirname(path), top: directory };
    const realPath =
      (await this.#resolveLinks(path, range)) ?? paths.join(root, paths.relative(directory, path));
    if (!(await this.#covers(paths.dirname(realPath)))) throw notAllowed(requested);
    return { path, realPath };
  }

  /**
   * Checks an open file by its descriptor.
   *
   * @param opened The path that was opened with the platform's flags.
   * @returns The real path.
   * @throws BackhaulError `path_not_allowed`; FileCallTimeout
   */
  async checkRealPath(
    file: GatedFile,
    { opened, requested }: { opened: string; requested: string },
  ): Promise<string> {
    const platform = this.#deps.platform;
    const realPath = await file.call((handle) => platform.realPathOf(handle, opened));
    if (platform.isOffLimits(realPath) || !(await this.#covers(realPath))) throw notAllowed(requested);
    if (await file.call((handle) => platform.isKernelInterface(handle))) throw notAllowed(requested);
    if (await this.#deps.ownFiles.includes(file, realPath)) throw ownFile(requested);
    if (!this.#deps.hardLinks) {
      await file.call((handle) => requireOwnLink(handle, { requested, realPath, platform }));
    }
    return realPath;
  }

  #normalize(path: string): string {
    const problem =
      path.includes('\0') || !path.isWellFormed() || path.includes('\u{FFFD}')
        ? 'it is not valid UTF-8; a file whose name is not UTF-8 must be renamed before it can be uploaded'
        : !this.#deps.platform.path.isAbsolute(path)
          ? 'it must be absolute'
          : this.#deps.platform.pathProblem(path);
    if (problem !== null) throw new BackhaulError('invalid_path', `The path is invalid: ${problem}.`);
    return this.#deps.platform.path.resolve(path);
  }

  /** Returns the entry of the list that covers a path, given its key. */
  #entryOf(key: string): Entry | undefined {
    const { path: paths, pathKey } = this.#deps.platform;
    const file = this.#deps.files.find((each) => pathKey(each) === key);
    if (file !== undefined) return { flag: '--file', directory: paths.dirname(file) };
    const directory = this.#deps.directories.find((each) => this.#isWithin(key, pathKey(each)));
    return directory === undefined ? undefined : { flag: '--allow', directory };
  }

  /**
   * Resolves the links in the directories of a path, as far as the directories exist.
   *
   * @param from Directory to start with; parent directories are tried up to `top`.
   * @returns null if `top` does not exist.
   */
  async #resolveLinks(
    path: string,
    { from, top, ...options }: { from: string; top: string; timeoutMs?: number },
  ): Promise<string | null> {
    const { path: paths, pathKey } = this.#deps.platform;
    const topKey = pathKey(top);
    for (let at = from; this.#isWithin(pathKey(at), topKey); at = paths.dirname(at)) {
      const real = await this.#deps.gate.realpath(at, options).catch(nullUnlessTimeout);
      // A missing or unreadable file is reported by the open, after the check that its directory is allowed.
      if (real !== null) return paths.join(real, paths.relative(at, path));
      if (at === paths.dirname(at)) break;
    }
    return null;
  }

  /** Whether the list, with its links resolved, covers a real path. */
  async #covers(realPath: string): Promise<boolean> {
    return (await this.#isFile(realPath)) || (await this.#isInDirectories(realPath));
  }

  async #isFile(realPath: string): Promise<boolean> {
    const { path: paths } = this.#deps.platform;
    const key = (path: string) => this.#deps.platform.pathKey(path);
    for (const file of this.#deps.files) {
      const name = paths.basename(file);
      // Files with other names must not wait for the directory of --file.
      if (key(paths.basename(realPath)) !== key(name)) continue;
      const directory = await this.#pin(paths.dirname(file));
      if (directory !== null && key(paths.join(directory, name)) === key(realPath)) return true;
    }
    return false;
  }

  /** Checks the most likely directories first, so that a hanging one delays only paths that no other directory covers. */
  async #isInDirectories(realPath: string): Promise<boolean> {
    const isLikely = (directory: string) =>
      this.#isWithin(realPath, this.#pinned.get(directory) ?? directory);
    let timeout: FileCallTimeout | null = null;
    for (const directory of this.#deps.directories.toSorted(
      (a, b) => Number(isLikely(b)) - Number(isLikely(a)),
    )) {
      try {
        const root = await this.#pin(directory);
        if (root !== null && this.#isWithin(realPath, root)) return true;
      } catch (error) {
        if (!(error instanceof FileCallTimeout)) throw error;
        timeout ??= error;
      }
    }
    if (timeout !== null) throw timeout;
    return false;
  }

  /**
   * Returns the real path of a directory of the list, or null if it has changed since startup: an account that can replace
   * the directory with a link must not decide what else the agent reads. A directory that is missing at startup is pinned
   * to its own path: it may be created or mounted later.
   */
  async #pin(directory: string, options: { timeoutMs?: number } = {}): Promise<string | null> {
    const { path: paths, pathKey } = this.#deps.platform;
    if (!this.#pinned.has(directory)) {
      const range = { from: directory, top: paths.parse(directory).root, ...options };
      const first = (await this.#resolveLinks(directory, range)) ?? directory;
      if (!this.#pinned.has(directory)) this.#pinned.set(directory, first);
    }
    const pinned = this.#pinned.get(directory) ?? directory;
    const real = await this.#deps.gate.realpath(directory, options).catch(nullUnlessTimeout);
    return real === null || pathKey(real) === pathKey(pinned) ? pinned : null;
  }

  #isWithin(path: string, root: string): boolean {
    if (path === root) return true;
    const { sep } = this.#deps.platform.path;
    return path.startsWith(root.endsWith(sep) ? root : root + sep);
  }

  /** Returns problems of the list at startup, each with its flag. Also pins all directories to their current real paths. */
  async problems(): Promise<string[]> {
    await this.#deps.ownFiles.record();
    if (this.#deps.directories.length === 0 && this.#deps.files.length === 0) {
      return ['no file may be read: use --file or --allow'];
    }
    const files = this.#deps.files.map((file) => this.#fileProblems(file));
    const found = await Promise.all([
      ...this.#deps.directories.map((directory) => this.#directoryProblems(directory)),
      ...files,
    ]);
    return found.flat();
  }

  async #directoryProblems(directory: string): Promise<string[]> {
    const about = `--allow ${directory}`;
    const problems: string[] = [];
    const found = await this.#stat(directory, (real) => real);
    if (found instanceof FileCallTimeout) problems.push(`${about}: ${found.message}`);
    else if (found === null) {
      problems.push(
        `${about}: the directory does not exist yet; a directory created later is used, a link is not`,
      );
    } else if (!found.isDirectory()) {
      problems.push(`${about}: not a directory; use --file for a single file`);
    }
    if (this.#deps.platform.isOffLimits(directory) || this.#deps.ownFiles.isDevPath(directory)) {
      problems.push(`${about}: files here are never read`);
    }
    return problems;
  }

  async #fileProblems(file: string): Promise<string[]> {
    const { path: paths } = this.#deps.platform;
    const found = await this.#stat(paths.dirname(file), (real) => paths.join(real, paths.basename(file)));
    if (found instanceof FileCallTimeout) return [`--file ${file}: ${found.message}`];
    if (found === null) return [`--file ${file}: the file does not exist yet`];
    if (found.isSymbolicLink()) {
      return [`--file ${file}: symbolic links are refused; use the path of the target`];
    }
    return found.isFile() ? [] : [`--file ${file}: not a regular file`];
  }

  /** Stats `entry` of the real path of `directory`; null if it does not exist. */
  async #stat(directory: string, entry: (real: string) => string): Promise<Stats | FileCallTimeout | null> {
    const options = { timeoutMs: START_TIMEOUT_MS };
    try {
      const real = entry((await this.#pin(directory, options)) ?? directory);
      return await this.#deps.gate.run(real, () => lstat(real), options).catch(nullUnlessTimeout);
    } catch (error) {
      if (error instanceof FileCallTimeout) return error;
      throw error;
    }
  }
}

interface Entry {
  readonly flag: '--allow' | '--file';
  /** For `--file`: the directory of the file. */
  readonly directory: string;
}

function notAllowed(path: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `The owner of the agent's machine does not allow reading ${JSON.stringify(path)}. Directories are allowed there with --allow.`,
  );
}

function ownFile(path: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(path)} belongs to the agent or to a backhaul-server --dev on the same machine, for example a token. It is never read, whatever the allow-list says.`,
  );
}

function replaced({ flag, directory }: Entry): BackhaulError {
  const subject = flag === '--allow' ? `--allow ${directory}` : `The directory of --file, ${directory},`;
  return new BackhaulError(
    'path_not_allowed',
    `${subject} points to a different directory than at the agent's start, so nothing below it is read. If this is intended, restart the agent.`,
  );
}
