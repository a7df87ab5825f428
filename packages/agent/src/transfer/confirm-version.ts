import type { OpenedFile } from '../file/open-file.ts';
import { readOnceMore, type SecondReading } from './second-reading.ts';

/** Maximum number of additional readings of a file that is modified meanwhile. */
const MAX_READINGS = 3;

interface Confirming extends SecondReading {
  readonly file: SecondReading['file'] &
    Pick<OpenedFile, 'fingerprint' | 'onChange' | 'assertUnchanged' | 'keepsChanging'>;
}

/**
 * Verifies that all parts belong to one version of the file, after all of them have been read. If an unchanged ctime
 * proves unchanged bytes, that is enough. Otherwise the whole file is read once more: if timestamps are too recent, too
 * coarse or not updated by every writer, and after chmod, rename, a new link or a writer that resets the mtime, all of
 * which change only the ctime. The ctime must not change during that reading.
 *
 * With `prefix` the ctime may change at any time. One more reading is enough then.
 *
 * @throws BackhaulError `file_changed`, `read_failed`
 */
export async function confirmVersion(
  reading: Confirming,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { file, log } = reading;
  let confirmed = file.trust.holds() ? file.fingerprint.ctime_ns : null;
  for (let readings = 0; ; readings += 1) {
    const { ctime_ns: ctime } = await file.assertUnchanged();
    if (ctime === confirmed || (file.onChange === 'prefix' && readings > 0)) return;
    if (readings === MAX_READINGS) throw file.keepsChanging(readings);
    const reason = confirmed === null ? 'its timestamps prove nothing' : 'its ctime changed';
    log.info({ reason, file_system: file.trust.fileSystem }, 'reading the file a second time');
    await readOnceMore(reading, { signal });
    confirmed = ctime;
  }
}
