import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';

/** Of the header: how the file is read, 1 by itself, 2 with its write-ahead log. https://sqlite.org/fileformat2.html */
const READ_VERSION_AT = 19;

/**
 * Whether the write-ahead log beside a database belongs to the one that was at this place before: a backup, which is
 * no file in WAL mode, was put in the place of a database whose server had been killed. SQLite would take the log
 * for the backup's own and write its pages into it.
 *
 * Opens and closes the file, and with that loses all POSIX locks of this process on it: not for a database that
 * this process has open.
 */
export function hasForeignWal(file: string): boolean {
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

/** Only for who holds the database's lock. */
export function removeForeignWal(file: string): void {
  if (!hasForeignWal(file)) return;
  rmSync(`${file}-wal`);
  rmSync(`${file}-shm`, { force: true });
}
