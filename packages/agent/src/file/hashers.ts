import { createHash } from 'node:crypto';
import type { ChecksumMode, PartChecksums } from '@backhaul/protocol';
import { abortable, settledWithin } from '../waits.ts';
import { hashSlices } from './checksums.ts';
import { HashThreadPool, type HashThreadPoolDeps } from './hash-thread-pool.ts';
import type { OpenedFile } from './open-file.ts';
import { type BufferPool, type Range, readSlices } from './slices.ts';

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

/** A hanging read must not delay the end of its upload. */
const CLOSE_TIMEOUT_MS = 1000;

/** Hashes on the main thread, one slice at a time, so that nothing else is blocked for long. */
export class LocalHasher implements FileHasher {
  readonly #file: HashedFile;
  readonly #buffers: BufferPool;
  readonly #wholeFile = createHash('sha256');
  readonly #stop = new AbortController();
  #last: Promise<unknown> = Promise.resolve();

  constructor(file: HashedFile, buffers: BufferPool) {
    this.#file = file;
    this.#buffers = buffers;
  }

  hashPart(range: Range, { mode, inDigest, signal }: PartHashing): Promise<PartChecksums> {
    const hashed = this.#inOrder(async () => {
      const reading = { buffers: this.#buffers, signal: AbortSignal.any([signal, this.#stop.signal]) };
      const slices = readSlices(this.#file, range, reading);
      const checksums = await hashSlices(slices, mode, inDigest ? this.#wholeFile : null);
      await this.#file.assertUnchanged();
      return checksums;
    });
    return abortable(hashed, signal);
  }

  digest(): Promise<string> {
    return this.#inOrder(() => Promise.resolve(this.#wholeFile.digest('hex')));
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('the hasher is closed'));
    await settledWithin(this.#last, CLOSE_TIMEOUT_MS);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inOrder<Value>(task: () => Promise<Value>): Promise<Value> {
    const done = this.#last.then(task);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** Hashing a smaller file takes less time than starting a thread. */
const MIN_THREAD_FILE_BYTES = 16 * 1024 * 1024;

/** Opens hashers: in a worker thread for large files if possible, otherwise on the main thread. */
export class Hashers implements AsyncDisposable {
  readonly #threads: HashThreadPool;
  readonly #buffers: BufferPool;

  constructor({ buffers, ...deps }: HashThreadPoolDeps & { buffers: BufferPool }) {
    this.#threads = new HashThreadPool(deps);
    this.#buffers = buffers;
  }

  /** @param file Must not be closed before the hasher. */
  open(file: HashedFile): FileHasher {
    const thread = file.sizeBytes < MIN_THREAD_FILE_BYTES ? null : this.#threads.open(file);
    return thread ?? new LocalHasher(file, this.#buffers);
  }

  /** Number of files that a thread may be reading. */
  get filesInThreads(): number {
    return this.#threads.files;
  }

  async close(): Promise<void> {
    await this.#threads.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
