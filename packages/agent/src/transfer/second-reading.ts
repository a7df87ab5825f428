import { BackhaulError, type ChecksumMode, type PartChecksums } from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import type { FileHasher, HashedFile } from '../hashing/file-hasher.ts';
import type { Hashers } from '../hashing/hashers.ts';
import type { Log } from '../log.ts';
import type { PartLedger } from './part-ledger.ts';

export interface SecondReading {
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
export async function readOnceMore(
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
