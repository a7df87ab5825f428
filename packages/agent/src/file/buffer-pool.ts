import { Semaphore } from '../semaphore.ts';

/** Reads and writes go in slices of this size, at any part size. */
export const SLICE_BYTES = 1024 * 1024;

/** Slices in memory at once in the whole process: what keeps its size apart from files, parts and settings. */
export const MAX_SLICES = 32;

/**
 * Slice buffers for the whole process. Their number is what bounds the agent's memory: whoever finds none free
 * waits. No user holds one while waiting for another.
 */
export class BufferPool {
  readonly #free: Buffer[] = [];
  readonly #places: Semaphore;

  /** @param max Buffers lent at once. */
  constructor(max: number) {
    this.#places = new Semaphore(max);
  }

  get lent(): number {
    return this.#places.held;
  }

  async take({ signal }: { signal: AbortSignal }): Promise<Buffer> {
    await this.#places.acquire({ signal });
    return this.#next();
  }

  /** One more, if it can be had at once: for who holds one already and must not wait for another. */
  takeAtOnce(): Buffer | null {
    return this.#places.tryAcquire() ? this.#next() : null;
  }

  give(buffer: Buffer): void {
    this.#free.push(buffer);
    this.#places.release();
  }

  /** For a buffer that the kernel may still be reading from: it counts as returned, but is left to the collector. */
  abandon(): void {
    this.#places.release();
  }

  #next(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLICE_BYTES);
  }
}
