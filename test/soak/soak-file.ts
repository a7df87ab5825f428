import { chmod, open, rename, truncate, utimes } from 'node:fs/promises';
import { keyStream, sha256OfKeyStream } from '../harness/key-stream.ts';

/** Uses whole seconds, so that a writer can restore the time exactly. */
const OLD_TIME = new Date(1_700_000_000_000);

/** Content of the file and its period. Times are milliseconds since the epoch. */
export interface FileVersion {
  readonly seed: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Earliest time at which its first byte may have been there. */
  readonly from: number;
  /** Latest time at which its last byte may have been there. */
  until: number;
}

export type ChangeKind = 'append' | 'truncate' | 'rewrite' | 'replace' | 'chmod';

export interface FileChange {
  readonly kind: ChangeKind;
  readonly startedAt: number;
  readonly endedAt: number;
}

type Change = (version: FileVersion) => Promise<Pick<FileVersion, 'seed' | 'sizeBytes'> | undefined>;

/** A file with a record of all its versions. */
export class SoakFile {
  readonly path: string;
  readonly versions: FileVersion[] = [];
  readonly changes: FileChange[] = [];
  readonly #name: string;
  #changing: Promise<void> = Promise.resolve();

  private constructor(path: string, name: string) {
    this.path = path;
    this.#name = name;
  }

  /** @param name Determines the bytes together with the size. */
  static async create(path: string, name: string, sizeBytes: number): Promise<SoakFile> {
    const file = new SoakFile(path, name);
    await file.#write(path, file.#newSeed(), { from: 0, to: sizeBytes, flags: 'w' });
    await utimes(path, OLD_TIME, OLD_TIME);
    await file.#remember(file.#newSeed(), sizeBytes, Date.now());
    return file;
  }

  async append(sizeBytes: number): Promise<void> {
    await this.#change('append', async ({ seed, sizeBytes: from }) => {
      await this.#write(this.path, seed, { from, to: from + sizeBytes, flags: 'a' });
      return { seed, sizeBytes: from + sizeBytes };
    });
  }

  /** @param share Remaining share from 0 to 1. */
  async truncate(share: number): Promise<void> {
    await this.#change('truncate', async ({ seed, sizeBytes }) => {
      const left = Math.floor(sizeBytes * share);
      await truncate(this.path, left);
      return { seed, sizeBytes: left };
    });
  }

  /** Overwrites the bytes in place and restores the old mtime, as some programs do. */
  async rewrite(): Promise<void> {
    await this.#change('rewrite', async ({ sizeBytes }) => {
      const seed = this.#newSeed();
      await this.#write(this.path, seed, { from: 0, to: sizeBytes, flags: 'r+' });
      await utimes(this.path, OLD_TIME, OLD_TIME);
      return { seed, sizeBytes };
    });
  }

  /** Renames another file over it. */
  async replace(sizeBytes: number): Promise<void> {
    await this.#change('replace', async () => {
      const seed = this.#newSeed();
      await this.#write(`${this.path}.new`, seed, { from: 0, to: sizeBytes, flags: 'w' });
      await utimes(`${this.path}.new`, OLD_TIME, OLD_TIME);
      await rename(`${this.path}.new`, this.path);
      return { seed, sizeBytes };
    });
  }

  /** Harmless: the bytes stay. */
  async chmod(mode: number): Promise<void> {
    await this.#change('chmod', async () => {
      await chmod(this.path, mode);
      return undefined;
    });
  }

  /** Waits until the changes so far are done and recorded. */
  async settled(): Promise<void> {
    await this.#changing;
  }

  get sizeBytes(): number {
    return this.#last.sizeBytes;
  }

  get #last(): FileVersion {
    const last = this.versions.at(-1);
    if (last === undefined) throw new Error(`${this.path} was not created`);
    return last;
  }

  #newSeed(): string {
    return `${this.#name} ${this.versions.length}`;
  }

  /** @param act Returns the new content; undefined if unchanged. */
  async #change(kind: ChangeKind, act: Change): Promise<void> {
    this.#changing = this.#changing.then(() => this.#apply(kind, act));
    await this.#changing;
  }

  async #apply(kind: ChangeKind, act: Change): Promise<void> {
    const startedAt = Date.now();
    const version = this.#last;
    const next = await act(version);
    const endedAt = Date.now();
    this.changes.push({ kind, startedAt, endedAt });
    if (next === undefined) return;
    version.until = endedAt;
    await this.#remember(next.seed, next.sizeBytes, startedAt);
  }

  async #remember(seed: string, sizeBytes: number, from: number): Promise<void> {
    const sha256 = await sha256OfKeyStream(seed, sizeBytes);
    this.versions.push({ seed, sizeBytes, sha256, from, until: Infinity });
  }

  async #write(
    path: string,
    seed: string,
    { from, to, flags }: { from: number; to: number; flags: string },
  ): Promise<void> {
    await using file = await open(path, flags);
    for (const chunk of keyStream(seed, from, to)) await file.writeFile(chunk);
  }
}
