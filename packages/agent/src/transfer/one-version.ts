import { BackhaulError, type ChecksumMode, type PartChecksums } from '@backhaul/protocol';
import type { FileHasher, HashedFile, Hashers } from '../file/hashers.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Log } from '../log.ts';
import type { Part, PartLedger } from './part-ledger.ts';
import type { PreparedFile } from './prepare-file.ts';

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

interface SecondReading {
  readonly file: HashedFile & Pick<OpenedFile, 'trust' | 'reopen' | 'contentChanged'>;
  readonly ledger: Pick<PartLedger, 'parts'>;
  readonly hashers: Pick<Hashers, 'open'>;
  readonly log: Log;
}

/**
 * Reads the whole file once more, through a new descriptor, and compares it with the announced checksums. All parts must
 * have been read before: then there was a moment, between the end of the first reading and the start of this one, at
 * which the file contained exactly these bytes. (No reading can detect bytes that changed and changed back around that
 * moment.)
 *
 * On file systems that others change behind the page cache, the cache is bypassed: FUSE, NFS and SMB accept `O_DIRECT`
 * without alignment rules. If a file system refuses it, the file is read through the cache: reopening a file makes NFS
 * revalidate with its server, and FUSE drop its pages, unless configured otherwise.
 *
 * @throws BackhaulError `file_changed`, `read_failed`
 */
async function readOnceMore(
  { file, ledger, hashers, log }: SecondReading,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const compare = async (by: Pick<FileHasher, 'hashPart'>): Promise<void> => {
    for (const { checksums: before, ...part } of ledger.parts) {
      const now = await by.hashPart(part, { mode: modeOf(before), inDigest: false, signal });
      if (now.crc32 !== before?.crc32) throw file.contentChanged();
      // Different bytes can have the same CRC32.
      if (now.sha256 !== before.sha256 || now.md5 !== before.md5) throw file.contentChanged();
    }
  };
  const compareFresh = async (direct: boolean): Promise<void> => {
    await using fresh = await file.reopen({ direct });
    await using freshHasher = hashers.open(fresh);
    await compare(freshHasher);
  };
  const isShared = file.trust.fileSystem === 'shared';
  try {
    if (isShared) return await compareFresh(true);
  } catch (error) {
    if (isFileChanged(error) || signal.aborted) throw error;
    log.warn({ error: String(error) }, 'cannot bypass the page cache; reading the file through it');
  }
  try {
    await compareFresh(false);
  } catch (error) {
    // chmod may have removed the permission to reopen the file, but not to continue reading it. Not for shared file systems.
    if (isFileChanged(error) || signal.aborted || isShared) throw error;
    await using hasher = hashers.open(file);
    await compare(hasher);
  }
}

/** Checksum mode in which the part was announced; it may differ for a part of an earlier attempt. */
function modeOf(checksums: PartChecksums | null): ChecksumMode {
  if (checksums?.sha256 !== undefined) return 'sha256';
  return checksums?.md5 === undefined ? 'crc32' : 'md5';
}

function isFileChanged(error: unknown): boolean {
  return error instanceof BackhaulError && error.code === 'file_changed';
}

type Resumed = Pick<PreparedFile, 'file' | 'ledger' | 'hasher' | 'readPace' | 'sha256'>;

/**
 * Reads a resumed file in order, while its missing parts are being sent, and compares the kept parts with the current
 * content. For the SHA-256 of the whole file every part is read, otherwise only the kept ones.
 *
 * @returns The CRC-32 of each part that was read, by number, for {@link requireSameParts}.
 * @throws BackhaulError `file_changed`, `read_failed`
 */
export async function rereadParts(
  { file, ledger, hasher, readPace, sha256 }: Resumed,
  { signal }: { signal: AbortSignal },
): Promise<ReadonlyMap<number, string>> {
  const read = new Map<number, string>();
  for (const part of ledger.parts) {
    if (part.state !== 'kept' && !sha256) continue;
    const mode = part.state === 'kept' && part.checksums?.sha256 !== undefined ? 'sha256' : 'none';
    await readPace?.take(part.length, { signal });
    const now = await hasher.hashPart(part, { mode, inDigest: sha256, signal });
    if (differs(part, now.crc32) || (mode === 'sha256' && part.checksums?.sha256 !== now.sha256)) {
      throw file.contentChanged();
    }
    read.set(part.number, now.crc32);
  }
  return read;
}

/**
 * Checks, once all parts have been announced, that parts read before their announcement match it.
 *
 * @throws BackhaulError `file_changed`
 */
export function requireSameParts({ file, ledger }: Resumed, read: ReadonlyMap<number, string>): void {
  for (const [number, crc32] of read) {
    const part = ledger.parts[number - 1];
    if (part === undefined || differs(part, crc32)) throw file.contentChanged();
  }
}

/** False for an unread part, which has no checksums yet. */
function differs({ checksums }: Part, crc32: string): boolean {
  return checksums !== null && checksums.crc32 !== crc32;
}
