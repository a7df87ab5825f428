import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/read-slices.ts';

/** Reads one file and hashes what it reads: what is asked is done in order, and more may be asked meanwhile. */
export interface FileHasher extends AsyncDisposable {
  /**
   * @throws BackhaulError `file_changed`, also when it changed only after the part was read; `read_failed`;
   *   `agent_busy` if the thread that hashes has ended.
   * @throws The signal's reason.
   */
  hashPart(range: Range, options: PartHashing): Promise<PartChecksums>;
  /** SHA-256 of all that went into it, hexadecimal; once. */
  digest(): Promise<string>;
  /** When it resolves, nothing reads from the file any more but a call that hangs. Idempotent. */
  close(): Promise<void>;
}

export interface PartHashing {
  readonly mode: ChecksumMode;
  /** Whether the bytes go into the digest of the whole file too; parts must then be asked for in order. */
  readonly inDigest: boolean;
  /** Ends the wait; the reading ends at the latest when the hasher is closed. */
  readonly signal: AbortSignal;
}

/** What a hasher needs of a file, which it keeps open for as long as it may read from it. */
export type HashedFile = Pick<
  OpenedFile,
  | 'fd'
  | 'place'
  | 'sizeBytes'
  | 'readFully'
  | 'assertUnchanged'
  | 'requireUnchanged'
  | 'readFailed'
  | 'endedEarly'
  | 'contentChanged'
  | 'keepOpen'
  | 'hangs'
>;
