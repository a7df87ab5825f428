import { randomInt } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../domain/ports/store.ts';

/** Private to the owner: rows name files, machines and operators, and an account that can read a file can lock it. */
const MODE = 0o600;
const SUFFIXES = ['', '-wal', '-shm', '-lock'] as const;
/** Header fields, https://sqlite.org/fileformat2.html: the read version (2: with a log), and `user_version`. */
const READ_VERSION_AT = 19;
const USER_VERSION_AT = 60;
const HEADER_BYTES = 64;

interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
}

/** The identity of no file. */
const NONE: Identity = { device: -1n, inode: -1n };

/**
 * The files that a database was opened with. An open file outlives its name: if files are removed or replaced, SQLite
 * goes on writing into files that no later start will find. This is detected by comparing the files at the paths with
 * the opened ones, and the header in the file with a number written into it at the start.
 */
export class DatabaseFiles implements Disposable {
  readonly #file: string;
  /** Its path as given, and the derived paths that SQLite uses for the other files. */
  readonly #paths: readonly string[];
  /** Stays open: closing any descriptor of a file releases SQLite's POSIX locks on it. */
  readonly #descriptor: number;
  #identities: ReadonlyMap<string, Identity> = new Map();
  #markers: readonly number[] = [];

  /**
   * Creates the file if it is missing, and makes it and its companion files private. Call it before SQLite opens the
   * file.
   */
  constructor(file: string) {
    this.#file = file;
    this.#descriptor = openSync(file, 'a+', MODE);
    const real = realpathSync(file);
    this.#paths = [file, ...SUFFIXES.map((ending) => `${real}${ending}`)];
    for (const path of this.#paths) closeToOthers(path);
  }

  /** @param database The database as it is open now, with all of its files. */
  remember(database: DatabaseSync): void {
    const marker = randomInt(1, 2 ** 31);
    database.exec(`pragma user_version = ${marker}`);
    // Into the file itself. If a reader prevents that, the present content stays until the log is written back.
    database.exec('pragma wal_checkpoint(passive)');
    this.#markers = [marker, this.#header().readInt32BE(USER_VERSION_AT)];
    this.#identities = new Map(this.#paths.map((path) => [path, identityOf(path) ?? NONE]));
  }

  /** @throws StoreError if writes would be lost at the next start. */
  assertIntact(): void {
    const problem = this.problem();
    if (problem !== undefined) throw new StoreError(problem);
  }

  /** Describes the problem; undefined if there is none. */
  problem(): string | undefined {
    for (const [path, { device, inode }] of this.#identities) {
      const now = identityOf(path);
      if (now === undefined) return `${path} no longer exists; ${ADVICE}`;
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
  'writes are refused, because they would be lost. Restore the files that the server had open, or see docs/backup.md before you restart it';

function identityOf(path: string): Identity | undefined {
  try {
    const { dev: device, ino: inode } = statSync(path, { bigint: true });
    return { device, inode };
  } catch {
    // Removed with its directory, or no longer readable: in both cases the next start would not find it.
    return undefined;
  }
}

function closeToOthers(path: string): void {
  try {
    chmodSync(path, MODE);
  } catch {
    // Not created yet: SQLite gives its files the mode of the database. Or owned by another account, which decides
    // itself.
  }
}

/**
 * Whether the write-ahead log next to a database belongs to an earlier database at the same path: a backup, which is
 * not in WAL mode, replaced a database whose server had been killed. SQLite would take the log for the backup's own
 * and write its pages into it.
 *
 * Opens and closes the file, which releases all POSIX locks of this process on it: do not call it for a database that
 * this process has open.
 */
export function hasStaleWal(file: string): boolean {
  if (!existsSync(`${file}-wal`)) return false;
  const header = Buffer.alloc(READ_VERSION_AT + 1);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, header, 0, header.length, 0);
  } finally {
    closeSync(descriptor);
  }
  return header[READ_VERSION_AT] === 1;
}

/** Callers must hold the database's lock. */
export function removeStaleWal(file: string): void {
  if (!hasStaleWal(file)) return;
  rmSync(`${file}-wal`);
  rmSync(`${file}-shm`, { force: true });
}
