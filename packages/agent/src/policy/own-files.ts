import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { nullUnlessTimeout } from '../file/file-error.ts';
import type { FileGate } from '../file/file-gate.ts';
import type { GatedFile } from '../file/gated-file.ts';
import type { Platform } from '../platform/platform.ts';
import { settledWithin } from '../waits.ts';

interface OwnFilesDeps {
  /** E.g. the token file. Absolute paths; they need not exist. */
  readonly files: readonly string[];
  /** Directories that are protected with all their content. Absolute paths; they need not exist. */
  readonly directories: readonly string[];
  readonly platform: Platform;
  readonly gate: FileGate;
}

/** Maximum wait for paths on hanging file systems, so that the agent can connect. They are recorded once they respond. */
const RECORD_TIMEOUT_MS = 5000;

/** Directory in which a server in dev mode stores its secret, keys, database and objects. */
const devDirectoryName = dirname(DEV_FILE);

/**
 * Secrets of the agent and of a dev server on the same machine. They are never read, whatever the allow-list says: with a
 * token or the dev server's secret, an operator could impersonate any agent or operator.
 *
 * Files are identified by device and inode, so that other names and hard links are also detected. A copy is a different
 * file and is not detected.
 */
export class OwnFiles {
  readonly #deps: OwnFilesDeps;
  /** All files that the paths ever pointed to: a replaced token file that still exists under another name is still a secret. */
  readonly #recorded = new Set<string>();

  constructor(deps: OwnFilesDeps) {
    this.#deps = deps;
  }

  /** Whether the path contains the directory name of a dev server. */
  isDevPath(path: string): boolean {
    const { pathKey, path: paths } = this.#deps.platform;
    return pathKey(path).split(paths.sep).includes(pathKey(devDirectoryName));
  }

  /** Records the current files, at startup and after each token read, before they can be moved. Never rejects. */
  async record(): Promise<void> {
    await settledWithin(this.#currentKeys(), RECORD_TIMEOUT_MS);
  }

  /**
   * @param realPath Real path of the descriptor.
   * @throws FileCallTimeout
   */
  async includes(file: GatedFile, realPath: string): Promise<boolean> {
    if (this.isDevPath(realPath)) return true;
    const opened = await file.call((handle) => handle.stat({ bigint: true }));
    const current = await this.#currentKeys();
    const isOwn = (stats: BigIntStats) => current.has(inodeKey(stats)) || this.#recorded.has(identity(stats));
    if (isOwn(opened)) return true;
    const paths = this.#deps.platform.path;
    for (let at = realPath; at !== paths.dirname(at);) {
      at = paths.dirname(at);
      const parent = await this.#lstat(at).catch(nullUnlessTimeout);
      if (parent !== null && isOwn(parent)) return true;
    }
    if (!opened.isFile() || opened.nlink <= 1n) return false;
    for (const directory of this.#deps.directories)
      if (await this.#containsLink(directory, opened)) return true;
    return false;
  }

  /** Keys of the current files. Read at each open, because renewal replaces token files. */
  async #currentKeys(): Promise<Set<string>> {
    const current = new Set<string>();
    const add = async (path: string): Promise<void> => {
      // A hanging file system must not block other files; earlier files stay recorded.
      const stats = await this.#stat(path).catch(() => null);
      if (stats === null) return;
      current.add(inodeKey(stats));
      this.#recorded.add(identity(stats));
    };
    for (const path of [...this.#deps.files, ...this.#deps.directories]) await add(path);
    // Only direct entries, which contain the secrets: subdirectories, such as a dev server's objects, may be large.
    for (const directory of this.#deps.directories) {
      for (const entry of await this.#entriesOf(directory)) {
        if (!entry.isDirectory()) await add(this.#deps.platform.path.join(directory, entry.name));
      }
    }
    return current;
  }

  /** Whether the directory contains another name of the open file. */
  async #containsLink(directory: string, opened: BigIntStats): Promise<boolean> {
    for (const entry of await this.#entriesOf(directory)) {
      const path = this.#deps.platform.path.join(directory, entry.name);
      if (entry.isDirectory() && (await this.#containsLink(path, opened))) return true;
      if (!entry.isFile()) continue;
      const stats = await this.#lstat(path).catch(() => null);
      if (stats !== null && inodeKey(stats) === inodeKey(opened)) return true;
    }
    return false;
  }

  async #stat(path: string): Promise<BigIntStats> {
    return await this.#lstat(await this.#deps.gate.realpath(path));
  }

  async #lstat(path: string): Promise<BigIntStats> {
    return await this.#deps.gate.run(path, () => lstat(path, { bigint: true }));
  }

  /** Empty if the directory does not exist. */
  async #entriesOf(directory: string): Promise<Dirent[]> {
    return await this.#deps.gate
      .run(directory, () => readdir(directory, { withFileTypes: true }))
      .catch(() => []);
  }
}

/** Unique among existing files. */
function inodeKey({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/**
 * Identifies a file even after its inode was reused for another file, by the birth time. Where the file system has no
 * birth time, by size and modification time, which a moved token file keeps and a new file does not share.
 */
function identity(stats: BigIntStats): string {
  const born = `${inodeKey(stats)}:${stats.birthtimeNs}`;
  return stats.birthtimeNs !== 0n || !stats.isFile() ? born : `${born}:${stats.size}:${stats.mtimeNs}`;
}
