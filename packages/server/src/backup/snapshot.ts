import { DatabaseSync, backup } from 'node:sqlite';
import { BackupError } from './backup-error.ts';

/** 4 MiB; between two steps a signal is heard. */
const PAGES_A_STEP = 1024;

/**
 * Copies a database as it was when `source` began to read, and checks the copy.
 *
 * @param source In a transaction: without one a write of another process would start the copy over.
 * @param target Does not exist. Other files of that name and an ending may be beside it if this throws.
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
    // One file, that needs no other, and that no log can belong to.
    copy.exec('pragma journal_mode = delete');
    const findings = copy.prepare('pragma integrity_check(1)').all();
    const finding = String(findings[0]?.['integrity_check']);
    if (finding !== 'ok') throw new BackupError(`the database is damaged: ${finding}`);
  } finally {
    copy.close();
  }
  signal.throwIfAborted();
}
