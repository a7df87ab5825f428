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
 * Reads the whole file once more, through a fresh descriptor, and compares it with what was announced and sent. All
 * parts must have been read before: then there was a moment, between the end of the first reading and the beginning of
 * this one, at which the file held exactly these bytes. (Bytes that changed and changed back around that moment cannot
 * be told by any reading.)
 *
 * Where others can change the file behind the page cache, it is read past it: FUSE, NFS and SMB take `O_DIRECT`
 * without its rules for alignment. What does not take it is read the usual way: opening a file anew makes NFS ask its
 * server, and FUSE drop its pages, unless told otherwise.
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
      // A CRC32 is soon found for other bytes.
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
    if (isVersion(error) || signal.aborted) throw error;
    log.warn(
      { error: String(error) },
      'the file cannot be read past the page cache, so it is read through it',
    );
  }
  try {
    await compareFresh(false);
  } catch (error) {
    // chmod may have taken the right to open it again, but not to read on; nothing is cached apart from the file here.
    if (isVersion(error) || signal.aborted || isShared) throw error;
    await using hasher = hashers.open(file);
    await compare(hasher);
  }
}

/** As the part was announced: one that an earlier attempt sent may have other checksums. */
function modeOf(checksums: PartChecksums | null): ChecksumMode {
  if (checksums?.sha256 !== undefined) return 'sha256';
  return checksums?.md5 === undefined ? 'crc32' : 'md5';
}

function isVersion(error: unknown): boolean {
  return error instanceof BackhaulError && error.code === 'file_changed';
}
