/** The backup failed for a reason other than a usage mistake: a full disk, a signal, a damaged database. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}
