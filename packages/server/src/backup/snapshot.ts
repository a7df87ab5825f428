import { DatabaseSync, backup } from 'node:sqlite';
import { BackupError } from './backup-error.ts';

/** 4 MiB; signals are handled between two steps. */
const PAGES_A_STEP = 1024;

/**
 * Copies a database as of the moment `source` started to read, and checks the copy.
 *
 * @param source In a transaction; without one, a write by another process would restart the copy.
 * @param target Must not exist. If this throws, files with that name and a suffix may be left next to it.
 * @throws BackupError for a damaged database; the signal's reason; SQLite's error.
 */
export async function writeSnapshot(
  source: DatabaseSync,
  target: string,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  await backup(source, target, { rate: PAGES_A_STEP, progress: () => signal.throwIfAborted() });
  signal.throwIfAborted();
  const copy = new DatabaseSync(target);
  try {
    // The copy is one self-contained file, and no WAL file can belong to it.
    copy.exec('pragma journal_mode = delete');
    const problems = copy.prepare('pragma integrity_check(1)').all();
    const finding = String(problems[0]?.['integrity_check']);
    if (finding !== 'ok') throw new BackupError(`the database is damaged: ${finding}`);
  } finally {
    copy.close();
  }
  signal.throwIfAborted();
}
