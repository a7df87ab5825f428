import { createHash } from 'node:crypto';
import type { PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import { settledWithin } from '../settled-within.ts';
import type { BufferPool } from '../file/buffer-pool.ts';
import { type Range, readSlices } from '../file/read-slices.ts';
import type { FileHasher, HashedFile, PartHashing } from './file-hasher.ts';
import { hashSlices } from './hash-slices.ts';

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
