/** The error that `node:sqlite` throws for everything SQLite refuses. */
export interface SqliteError extends Error {
  readonly code: 'ERR_SQLITE_ERROR';
  /** SQLite's extended result code: https://sqlite.org/rescode.html */
  readonly errcode: number;
}

const SQLITE_BUSY = 5;

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

/** Another connection, most likely of another process, holds the required lock. */
export function isBusy(error: unknown): boolean {
  // The lower byte is the primary code.
  return isSqliteError(error) && (error.errcode & 0xff) === SQLITE_BUSY;
}
