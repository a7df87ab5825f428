import { randomInt } from 'node:crypto';
import { chmodSync, closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../domain/ports/store.ts';

/** For its owner only: rows name files, machines and operators, and an account that may read a file may lock it. */
const MODE = 0o600;
const ENDINGS = ['', '-wal', '-shm', '-lock'] as const;
/** Of the header, https://sqlite.org/fileformat2.html: how the file is read (2: with its log), and `user_version`. */
const READ_VERSION_AT = 19;
const USER_VERSION_AT = 60;
const HEADER_BYTES = 64;

interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
}

/** Of no file. */
const NONE: Identity = { device: -1n, inode: -1n };

/**
 * The files that a database was opened with. An open file outlives its name: if files are removed or others are put in
 * their place, SQLite goes on writing into what no later start will find. That is noticed by comparing what is at the
 * paths with what was opened, and the header in the file with a number written into it at the start.
 */
export class DatabaseFiles implements Disposable {
  readonly #file: string;
  /** As it is named, and under what SQLite takes for their names, the others. */
  readonly #paths: readonly string[];
  /** Kept open: to close any descriptor of a file takes from SQLite its POSIX locks on it. */
  readonly #descriptor: number;
  #identities: ReadonlyMap<string, Identity> = new Map();
  #markers: readonly number[] = [];

  /** Makes the file if need be, and closes it and those beside it to others. To be called before SQLite opens it. */
  constructor(file: string) {
    this.#file = file;
    this.#descriptor = openSync(file, 'a+', MODE);
    const real = realpathSync(file);
    this.#paths = [file, ...ENDINGS.map((ending) => `${real}${ending}`)];
    for (const path of this.#paths) closeToOthers(path);
  }

  /** @param database The file as it is open now, with all that belongs to it. */
  remember(database: DatabaseSync): void {
    const marker = randomInt(1, 2 ** 31);
    database.exec(`pragma user_version = ${marker}`);
    // Into the file itself. Where a reader holds that up, what is there now stays until the log is written back.
    database.exec('pragma wal_checkpoint(passive)');
    this.#markers = [marker, this.#header().readInt32BE(USER_VERSION_AT)];
    this.#identities = new Map(this.#paths.map((path) => [path, identityOf(path) ?? NONE]));
  }

  /** @throws StoreError if what is written now would be lost at the next start. */
  assertIntact(): void {
    const problem = this.problem();
    if (problem !== undefined) throw new StoreError(problem);
  }

  /** Says what is wrong; undefined if nothing is. */
  problem(): string | undefined {
    for (const [path, { device, inode }] of this.#identities) {
      const now = identityOf(path);
      if (now === undefined) return `${path} is no longer there; ${ADVICE}`;
      if (now.device !== device || now.inode !== inode) return `${path} was replaced; ${ADVICE}`;
    }
    if (this.isOverwritten()) return `${this.#file} was overwritten; ${ADVICE}`;
    return undefined;
  }

  /** Whether another database was written into the file. */
  isOverwritten(): boolean {
    const header = this.#header();
    if (header[READ_VERSION_AT] !== 2) return true;
    return !this.#markers.includes(header.readInt32BE(USER_VERSION_AT));
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  /** Zeros where the file is shorter. */
  #header(): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    readSync(this.#descriptor, header, 0, HEADER_BYTES, 0);
    return header;
  }
}

const ADVICE =
  'nothing is accepted, because it would be lost. Put the files back that the server had open, or see docs/backup.md before you restart it';

function identityOf(path: string): Identity | undefined {
  try {
    const { dev: device, ino: inode } = statSync(path, { bigint: true });
    return { device, inode };
  } catch {
    // Gone with its directory, or no longer ours to see: either way not to be found at the next start.
    return undefined;
  }
}

function closeToOthers(path: string): void {
  try {
    chmodSync(path, MODE);
  } catch {
    // Not there yet: SQLite gives its files the mode of the database. Or another account's, who decides by itself.
  }
}
