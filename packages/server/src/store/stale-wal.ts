import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';

/**
 * Header field: file format read version; 1 without and 2 with a write-ahead log. https://sqlite.org/fileformat2.html
 */
const READ_VERSION_AT = 19;

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
