/** The backup could not be made, through no mistake in use: a full disk, a signal, a damaged database. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}
