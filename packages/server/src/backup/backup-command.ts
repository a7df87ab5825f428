import type { BackupConfig } from '../config/backup-config.ts';
import { logStyle } from '../config.ts';
import { createLogger } from '../logger.ts';
import { takeBackup } from './take-backup.ts';

/**
 * Runs `backhaul-server backup`. Prints one line on standard output: plain text with `--dev` or on a terminal,
 * otherwise in the log's format.
 *
 * @throws ConfigError, BackupError; no FILE exists then.
 */
export async function runBackup(
  { dev, databasePath: database, file }: BackupConfig,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const startedAt = performance.now();
  const { sizeBytes } = await takeBackup({ databasePath: database, file }, { signal });
  const durationMs = Math.round(performance.now() - startedAt);
  const { format, toJournal } = logStyle('auto', 1);
  if (dev || format === 'human') {
    process.stdout.write(`Backed up ${database} to ${file}: ${sizeBytes} bytes in ${durationMs} ms.\n`);
  } else {
    const log = createLogger({ level: 'info', fileDescriptor: 1, format, toJournal });
    log.info({ database, file, sizeBytes, durationMs }, 'backup written');
  }
}
