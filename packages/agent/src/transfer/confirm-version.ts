import { BackhaulError } from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import type { FileHasher } from '../hashing/file-hasher.ts';
import type { PartLedger } from './part-ledger.ts';

/** Something that touches the file more often than this while it is read cannot be waited out. */
const MAX_READINGS = 3;

interface Confirming {
  readonly file: Pick<OpenedFile, 'fingerprint' | 'onChange' | 'assertUnchanged' | 'contentChanged'>;
  readonly ledger: Pick<PartLedger, 'parts'>;
  readonly hasher: Pick<FileHasher, 'hashPart'>;
}

/**
 * That all parts are of one version. chmod, rename and a new link move the ctime alone, but so does a writer that
 * puts the mtime back: then only the bytes can tell, so the whole file is read once more while its ctime stays.
 *
 * With `prefix` the ctime may move all the time. One more reading is enough then: each part is what it was when it was
 * first read, so between the two readings all of them were there together.
 *
 * @throws BackhaulError `file_changed`, `read_failed`
 */
export async function confirmVersion(
  { file, ledger, hasher }: Confirming,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let confirmed = file.fingerprint.ctime_ns;
  for (let readings = 0; ; readings += 1) {
    const { ctime_ns: ctime } = await file.assertUnchanged();
    if (ctime === confirmed || (file.onChange === 'prefix' && readings > 0)) return;
    if (readings === MAX_READINGS) {
      const why = 'The file was touched again each time it was read to see whether its content had changed.';
      throw new BackhaulError('file_changed', why);
    }
    for (const part of ledger.parts) {
      const now = await hasher.hashPart(part, { mode: 'none', inDigest: false, signal });
      if (now.crc32 !== part.checksums?.crc32) throw file.contentChanged();
    }
    confirmed = ctime;
  }
}
