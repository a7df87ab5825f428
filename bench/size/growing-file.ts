import { open } from 'node:fs/promises';
import { keyStream } from '../../test/harness/key-stream.ts';

const MiB = 1024 * 1024;

/** A file that grows: each MiB is the same noise with its own number at the start. */
export class GrowingFile {
  readonly path: string;
  #sizeBytes = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** @param sizeBytes A multiple of 1 MiB. */
  async growTo(sizeBytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const [block] = keyStream('size', 0, MiB);
    if (block === undefined) throw new Error('the key stream is empty');
    await using file = await open(this.path, 'a');
    for (; this.#sizeBytes < sizeBytes; this.#sizeBytes += MiB) {
      signal.throwIfAborted();
      block.writeDoubleBE(this.#sizeBytes);
      await file.writeFile(block);
    }
  }
}
