import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/read-slices.ts';

/** Reads and hashes one file. Requests are processed in order; a caller need not wait for one before the next. */
export interface FileHasher extends AsyncDisposable {
  /**
   * @throws BackhaulError `file_changed`, also if it changed right after the part was read; `read_failed`;
   *   `agent_busy` if the hash thread has ended.
   * @throws The signal's reason.
   */
  hashPart(range: Range, options: PartHashing): Promise<PartChecksums>;
  /** Returns the SHA-256 of all parts hashed with `inDigest`, in hexadecimal. Callable once. */
  digest(): Promise<string>;
  /** When it resolves, nothing reads from the file except hanging calls. Idempotent. */
  close(): Promise<void>;
}

export interface PartHashing {
  readonly mode: ChecksumMode;
  /** Whether to include the bytes in the digest of the whole file; parts must then be requested in order. */
  readonly inDigest: boolean;
  /** Ends the wait; the reading itself ends at the latest when the hasher is closed. */
  readonly signal: AbortSignal;
}

/** The subset of a file that a hasher needs. It keeps the file open while it may read from it. */
export type HashedFile = Pick<
  OpenedFile,
  | 'fd'
  | 'normalizedPath'
  | 'sizeBytes'
  | 'readFully'
  | 'assertUnchanged'
  | 'requireUnchanged'
  | 'readFailed'
  | 'endedEarly'
  | 'contentChanged'
  | 'keepOpen'
  | 'reportHanging'
>;
