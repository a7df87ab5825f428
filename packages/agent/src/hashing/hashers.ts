import type { BufferPool } from '../file/buffer-pool.ts';
import type { FileHasher, HashedFile } from './file-hasher.ts';
import { HashThreads, type HashThreadsDeps } from './hash-threads.ts';
import { LocalHasher } from './local-hasher.ts';

/** Hashing a smaller file takes less time than starting a thread. */
const MIN_THREAD_FILE_BYTES = 16 * 1024 * 1024;

/** Opens hashers: in a worker thread for large files if possible, otherwise on the main thread. */
export class Hashers implements AsyncDisposable {
  readonly #threads: HashThreads;
  readonly #buffers: BufferPool;

  constructor({ buffers, ...deps }: HashThreadsDeps & { buffers: BufferPool }) {
    this.#threads = new HashThreads(deps);
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
