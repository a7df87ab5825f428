import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DEV_FILE } from '@backhaul/protocol';
import type { FileGate } from '../file/file-gate.ts';
import type { GatedFile } from '../file/gated-file.ts';
import { NoAnswer } from '../file/no-answer.ts';
import type { Platform } from '../platform/platform.ts';
import { settledWithin } from '../settled-within.ts';

interface OwnFilesOptions {
  /** E.g. the token file. Absolute; they need not exist. */
  readonly files: readonly string[];
  /** All below them is the agent's or its server's own. Absolute; they need not exist. */
  readonly directories: readonly string[];
  readonly platform: Platform;
  readonly gate: FileGate;
}

/** The agent connects without waiting longer for one whose file system hangs; once it answers it is remembered. */
const REMEMBER_TIMEOUT_MS = 5000;

/** Where a server in dev mode keeps its secret, keys, database and objects. */
const devDirectoryName = dirname(DEV_FILE);

/**
 * What the agent and a dev server beside it keep for themselves: never read, whatever the allow-list says. Whoever
 * could pull a token or the dev server's secret could become any agent or operator.
 *
 * Files are known by device and inode, so that neither another name nor a hard link leads to them. A copy is another
 * file and is not known.
 */
export class OwnFiles {
  readonly #files: readonly string[];
  readonly #directories: readonly string[];
  readonly #platform: Platform;
  readonly #gate: FileGate;
  /** All that the paths ever led to: a token file that was replaced and kept under another name is still a secret. */
  readonly #remembered = new Set<string>();

  constructor({ files, directories, platform, gate }: OwnFilesOptions) {
    this.#files = files;
    this.#directories = directories;
    this.#platform = platform;
    this.#gate = gate;
  }

  /** Whether the path leads through a directory that a dev server uses, by its name. */
  isNamedSo(path: string): boolean {
    const { pathKey, path: paths } = this.#platform;
    return pathKey(path).split(paths.sep).includes(pathKey(devDirectoryName));
  }

  /** Looks at them before they can be moved elsewhere: at the start, and whenever a token was read. Never rejects. */
  async remember(): Promise<void> {
    await settledWithin(this.#present(), REMEMBER_TIMEOUT_MS);
  }

  /**
   * @param realPath Where the descriptor really lies.
   * @throws NoAnswer
   */
  async includes(file: GatedFile, realPath: string): Promise<boolean> {
    if (this.isNamedSo(realPath)) return true;
    const opened = await file.call((handle) => handle.stat({ bigint: true }));
    const present = await this.#present();
    const isOwn = (stats: BigIntStats) => present.has(place(stats)) || this.#remembered.has(identity(stats));
    if (isOwn(opened)) return true;
    const paths = this.#platform.path;
    for (let at = realPath; at !== paths.dirname(at);) {
      at = paths.dirname(at);
      const parent = await this.#lstat(at).catch(nullUnlessSilent);
      if (parent !== null && isOwn(parent)) return true;
    }
    if (!opened.isFile() || opened.nlink <= 1n) return false;
    for (const directory of this.#directories) if (await this.#links(directory, opened)) return true;
    return false;
  }

  /** What the paths lead to now. Token files are replaced by renewal, so this is asked at each open. */
  async #present(): Promise<Set<string>> {
    const present = new Set<string>();
    const add = async (path: string): Promise<void> => {
      // One whose file system hangs holds up no other file; it is remembered.
      const stats = await this.#stat(path).catch(() => null);
      if (stats === null) return;
      present.add(place(stats));
      this.#remembered.add(identity(stats));
    };
    for (const path of [...this.#files, ...this.#directories]) await add(path);
    // The secrets are in their files; what lies deeper, such as a dev server's objects, may be much.
    for (const directory of this.#directories) {
      for (const entry of await this.#entriesOf(directory)) {
        if (!entry.isDirectory()) await add(this.#platform.path.join(directory, entry.name));
      }
    }
    return present;
  }

  /** Whether a file below the directory is the one that is open, under another name. */
  async #links(directory: string, opened: BigIntStats): Promise<boolean> {
    for (const entry of await this.#entriesOf(directory)) {
      const path = this.#platform.path.join(directory, entry.name);
      if (entry.isDirectory() && (await this.#links(path, opened))) return true;
      if (!entry.isFile()) continue;
      const stats = await this.#lstat(path).catch(() => null);
      if (stats !== null && place(stats) === place(opened)) return true;
    }
    return false;
  }

  async #stat(path: string): Promise<BigIntStats> {
    return await this.#lstat(await this.#gate.realpath(path));
  }

  async #lstat(path: string): Promise<BigIntStats> {
    return await this.#gate.run(path, () => lstat(path, { bigint: true }));
  }

  /** Nothing of one that is not there: what is removed meanwhile is not what is open. */
  async #entriesOf(directory: string): Promise<Dirent[]> {
    return await this.#gate.run(directory, () => readdir(directory, { withFileTypes: true })).catch(() => []);
  }
}

function nullUnlessSilent(error: unknown): null {
  if (error instanceof NoAnswer) throw error;
  return null;
}

/** Of a file that exists: no other one has it meanwhile. */
function place({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/**
 * Of a file for as long as it exists: its inode may later be another file's, made at another time. Where the file system
 * keeps no time of birth, a token that is moved keeps its size and time of change; its next file has others.
 */
function identity(stats: BigIntStats): string {
  const born = `${place(stats)}:${stats.birthtimeNs}`;
  return stats.birthtimeNs !== 0n || !stats.isFile() ? born : `${born}:${stats.size}:${stats.mtimeNs}`;
}
