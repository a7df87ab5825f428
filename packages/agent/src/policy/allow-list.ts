import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';
import type { FileGate } from '../file/file-gate.ts';
import type { GatedFile } from '../file/gated-file.ts';
import { NoAnswer } from '../file/no-answer.ts';
import type { Platform } from '../platform/platform.ts';
import { requireOwnLink } from './hard-links.ts';
import { OwnFiles } from './own-files.ts';

interface AllowListOptions {
  /** `--allow`, absolute. */
  readonly directories: readonly string[];
  /** `--file`, absolute. */
  readonly files: readonly string[];
  readonly platform: Platform;
  readonly gate: FileGate;
  /** What is never read although it lies in the list. */
  readonly ownFiles?: OwnFiles;
  /** `--allow-hard-links`. */
  readonly hardLinks?: boolean;
}

/** The agent connects without waiting longer for a directory whose file system hangs. */
const START_TIMEOUT_MS = 5000;

/** A path that may be opened, and is then to be confirmed. */
export interface Admitted {
  /** As it was asked for, `.` and `..` resolved. */
  readonly path: string;
  /** The same file with the links on the way to it resolved: this is what to open. */
  readonly realPath: string;
}

/**
 * What the machine's owner lets be read: regular files under the `--allow` directories, and the `--file` itself.
 * Empty means nothing. It is made from flags at start; no message reaches it.
 *
 * Every path is judged twice: by its spelling and the links on its way before anything is opened (`admit`), and by
 * what the opened descriptor really is (`confirm`).
 */
export class AllowList {
  readonly #directories: readonly string[];
  readonly #files: readonly string[];
  readonly #platform: Platform;
  readonly #gate: FileGate;
  readonly #ownFiles: OwnFiles;
  readonly #hardLinks: boolean;
  /** Where each directory of the list led at start. */
  readonly #pinned = new Map<string, string>();

  constructor({ directories, files, platform, gate, ownFiles, hardLinks = false }: AllowListOptions) {
    this.#directories = directories;
    this.#files = files;
    this.#platform = platform;
    this.#gate = gate;
    this.#ownFiles = ownFiles ?? new OwnFiles({ files: [], directories: [], platform, gate });
    this.#hardLinks = hardLinks;
  }

  /** For the owner and for `health_check`. */
  describe(): string[] {
    return [...this.#directories, ...this.#files];
  }

  /**
   * Outside the list the answer is the same whether or not something is there, also when it is a symbolic link
   * inside the list that leads out.
   *
   * @throws BackhaulError `invalid_path`, `path_not_allowed`; NoAnswer
   */
  async admit(asked: string): Promise<Admitted> {
    const { path: paths, pathKey } = this.#platform;
    const path = this.#normalize(asked);
    const entry = this.#entryOf(pathKey(path));
    if (entry === undefined || this.#platform.isOffLimits(path)) throw notAllowed(asked);
    const { flag, directory } = entry;
    const root = await this.#pin(directory);
    if (root === null) throw replaced(entry);
    if (flag === '--file') return { path, realPath: paths.join(root, paths.basename(path)) };
    if (pathKey(path) === pathKey(directory)) return { path, realPath: root };
    const reach = { from: paths.dirname(path), top: directory };
    const realPath =
      (await this.#throughLinks(path, reach)) ?? paths.join(root, paths.relative(directory, path));
    if (!(await this.#holds(paths.dirname(realPath)))) throw notAllowed(asked);
    return { path, realPath };
  }

  /**
   * Judges what is open, by the descriptor alone.
   *
   * @param opened What was opened with the platform's flags.
   * @returns Where it really lies.
   * @throws BackhaulError `path_not_allowed`; NoAnswer
   */
  async confirm(file: GatedFile, { opened, asked }: { opened: string; asked: string }): Promise<string> {
    const platform = this.#platform;
    const realPath = await file.call((handle) => platform.realPathOf(handle, opened));
    if (platform.isOffLimits(realPath) || !(await this.#holds(realPath))) throw notAllowed(asked);
    if (await file.call((handle) => platform.isKernelInterface(handle))) throw notAllowed(asked);
    if (await this.#ownFiles.includes(file, realPath)) throw ownFile(asked);
    if (!this.#hardLinks) {
      await file.call((handle) => requireOwnLink(handle, { asked, realPath, platform }));
    }
    return realPath;
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
  #entryOf(key: string): Entry | undefined {
    const { path: paths, pathKey } = this.#platform;
    const file = this.#files.find((each) => pathKey(each) === key);
    if (file !== undefined) return { flag: '--file', directory: paths.dirname(file) };
    const directory = this.#directories.find((each) => this.#isWithin(key, pathKey(each)));
    return directory === undefined ? undefined : { flag: '--allow', directory };
  }

  /**
   * A path with the links of its directories resolved, as far down as they exist.
   *
   * @param top Where to give up on the way up.
   * @returns null if not even `top` exists.
   */
  async #throughLinks(
    path: string,
    { from, top, ...options }: { from: string; top: string; timeoutMs?: number },
  ): Promise<string | null> {
    const { path: paths, pathKey } = this.#platform;
    const topKey = pathKey(top);
    for (let at = from; this.#isWithin(pathKey(at), topKey); at = paths.dirname(at)) {
      const real = await this.#gate.realpath(at, options).catch(nullUnlessSilent);
      // Missing or unreadable: the open will say so, once it is known that the way there stays inside.
      if (real !== null) return paths.join(real, paths.relative(at, path));
      if (at === paths.dirname(at)) break;
    }
    return null;
  }

  /** Whether a real path lies in the list, its own links resolved. */
  async #holds(realPath: string): Promise<boolean> {
    return (await this.#isFile(realPath)) || (await this.#isInDirectories(realPath));
  }

  async #isFile(realPath: string): Promise<boolean> {
    const { path: paths } = this.#platform;
    const key = (path: string) => this.#platform.pathKey(path);
    for (const file of this.#files) {
      const name = paths.basename(file);
      // Another file does not wait for the one of --file.
      if (key(paths.basename(realPath)) !== key(name)) continue;
      const directory = await this.#pin(paths.dirname(file));
      if (directory !== null && key(paths.join(directory, name)) === key(realPath)) return true;
    }
    return false;
  }

  /** One directory after the other, the likely ones first: one that hangs is in the way of what lies in no other. */
  async #isInDirectories(realPath: string): Promise<boolean> {
    const held = (directory: string) => this.#isWithin(realPath, this.#pinned.get(directory) ?? directory);
    let noAnswer: NoAnswer | null = null;
    for (const directory of this.#directories.toSorted((a, b) => Number(held(b)) - Number(held(a)))) {
      try {
        const root = await this.#pin(directory);
        if (root !== null && this.#isWithin(realPath, root)) return true;
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        noAnswer ??= error;
      }
    }
    if (noAnswer !== null) throw noAnswer;
    return false;
  }

  /**
   * Where a directory of the list really is; null once that is another place than at start. Whoever may replace it
   * by a link must not decide what else this agent reads. One that is missing at start is pinned to its own name:
   * it may be made or mounted later, and counts from then on.
   */
  async #pin(directory: string, options: { timeoutMs?: number } = {}): Promise<string | null> {
    const { path: paths, pathKey } = this.#platform;
    if (!this.#pinned.has(directory)) {
      const reach = { from: directory, top: paths.parse(directory).root, ...options };
      const first = (await this.#throughLinks(directory, reach)) ?? directory;
      if (!this.#pinned.has(directory)) this.#pinned.set(directory, first);
    }
    const pinned = this.#pinned.get(directory) ?? directory;
    const real = await this.#gate.realpath(directory, options).catch(nullUnlessSilent);
    return real === null || pathKey(real) === pathKey(pinned) ? pinned : null;
  }

  #isWithin(path: string, root: string): boolean {
    if (path === root) return true;
    const { sep } = this.#platform.path;
    return path.startsWith(root.endsWith(sep) ? root : root + sep);
  }

  /** What the owner should know at start: each sentence names the flag. From here on the list stays where it leads. */
  async findings(): Promise<string[]> {
    await this.#ownFiles.remember();
    if (this.#directories.length === 0 && this.#files.length === 0) {
      return ['Nothing may be read: give --file or --allow.'];
    }
    const files = this.#files.map((file) => this.#fileFindings(file));
    const found = await Promise.all([
      ...this.#directories.map((directory) => this.#directoryFindings(directory)),
      ...files,
    ]);
    return found.flat();
  }

  async #directoryFindings(directory: string): Promise<string[]> {
    const about = `--allow ${directory}`;
    const findings: string[] = [];
    const found = await this.#look(directory, (real) => real);
    if (found instanceof NoAnswer) findings.push(`${about}: ${found.message}.`);
    else if (found === null) {
      findings.push(
        `${about}: there is no such directory yet. One that is made later counts; a link does not.`,
      );
    } else if (!found.isDirectory()) {
      findings.push(`${about}: not a directory; use --file for a single file.`);
    }
    if (this.#platform.isOffLimits(directory) || this.#ownFiles.isNamedSo(directory)) {
      findings.push(`${about}: never read, by design.`);
    }
    return findings;
  }

  async #fileFindings(file: string): Promise<string[]> {
    const { path: paths } = this.#platform;
    const found = await this.#look(paths.dirname(file), (real) => paths.join(real, paths.basename(file)));
    if (found instanceof NoAnswer) return [`--file ${file}: ${found.message}.`];
    if (found === null) return [`--file ${file}: there is no such file yet.`];
    if (found.isSymbolicLink()) {
      return [`--file ${file}: symbolic links are refused; give the file they lead to.`];
    }
    return found.isFile() ? [] : [`--file ${file}: not a regular file.`];
  }

  /** What there is at `entry` of where `directory` leads. */
  async #look(directory: string, entry: (real: string) => string): Promise<Stats | NoAnswer | null> {
    const options = { timeoutMs: START_TIMEOUT_MS };
    try {
      const real = entry((await this.#pin(directory, options)) ?? directory);
      return await this.#gate.run(real, () => lstat(real), options).catch(nullUnlessSilent);
    } catch (error) {
      if (error instanceof NoAnswer) return error;
      throw error;
    }
  }
}

function nullUnlessSilent(error: unknown): null {
  if (error instanceof NoAnswer) throw error;
  return null;
}

interface Entry {
  readonly flag: '--allow' | '--file';
  /** Of `--file`: the one that the file is in. */
  readonly directory: string;
}

function notAllowed(path: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `This agent's owner does not allow ${JSON.stringify(path)}. Directories are allowed on the agent's machine with --allow.`,
  );
}

function ownFile(path: string): BackhaulError {
  return new BackhaulError(
    'path_not_allowed',
    `${JSON.stringify(path)} belongs to the agent or to a backhaul-server --dev beside it, such as a token: it is never read, whatever is allowed.`,
  );
}

function replaced({ flag, directory }: Entry): BackhaulError {
  const what = flag === '--allow' ? `--allow ${directory}` : `The directory of --file, ${directory},`;
  return new BackhaulError(
    'path_not_allowed',
    `${what} leads to another place than at the agent's start, so nothing below it is read. If that is meant, restart the agent.`,
  );
}
