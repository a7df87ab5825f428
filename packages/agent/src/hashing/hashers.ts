import type { BufferPool } from '../file/buffer-pool.ts';
import type { FileHasher, HashedFile } from './file-hasher.ts';
import { HashThreads, type ThreadOptions } from './hash-threads.ts';
import { LocalHasher } from './local-hasher.ts';

/** A smaller file is hashed before a thread has started. */
const WORTH_A_THREAD_BYTES = 16 * 1024 * 1024;

/** Where files are hashed: large ones in a thread of their own, if there can be one, else in this one. */
export class Hashers implements AsyncDisposable {
  readonly #threads: HashThreads;
  readonly #buffers: BufferPool;

  constructor({ buffers, ...options }: ThreadOptions & { buffers: BufferPool }) {
    this.#threads = new HashThreads(options);
    this.#buffers = buffers;
  }

  /** @param file Not to be closed before the hasher is. */
  open(file: HashedFile): FileHasher {
    const thread = file.sizeBytes < WORTH_A_THREAD_BYTES ? null : this.#threads.open(file);
    return thread ?? new LocalHasher(file, this.#buffers);
  }

  /** Files that a thread may be reading from. */
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
