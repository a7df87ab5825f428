import type { OpenedFile } from '../file/open-file.ts';
import { readOnceMore, type SecondReading } from './second-reading.ts';

/** Something that touches the file more often than this while it is read cannot be waited out. */
const MAX_READINGS = 3;

interface Confirming extends SecondReading {
  readonly file: SecondReading['file'] &
    Pick<OpenedFile, 'fingerprint' | 'onChange' | 'assertUnchanged' | 'keepsChanging'>;
}

/**
 * That all parts are of one version of the file, once all of them have been read. Where an unchanged ctime proves that
 * the bytes are unchanged, it is enough. Elsewhere only the bytes can tell, so the whole file is read once more:
 * where timestamps are too young or too coarse, or not moved by every writer; and after chmod, rename, a new link or
 * a writer that puts the mtime back, all of which move the ctime alone. Its ctime has to stay meanwhile.
 *
 * With `prefix` the ctime may move all the time. One more reading is enough then.
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
    const reason = confirmed === null ? 'its timestamps prove nothing' : 'its ctime moved';
    log.info({ reason, file_system: file.trust.fileSystem }, 'reading the file a second time');
    await readOnceMore(reading, { signal });
    confirmed = ctime;
  }
}
