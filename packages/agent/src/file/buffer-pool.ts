import { Semaphore } from '../semaphore.ts';

/** Files are read and sent in slices of this size, at any part size. */
export const SLICE_BYTES = 1024 * 1024;

/** Maximum number of slices in memory: memory use then does not depend on files, parts or settings. */
export const MAX_SLICES = 32;

/**
 * Slice buffers for the whole process. Their number limits the agent's memory: callers wait for a free buffer. No caller
 * waits for a buffer while holding another.
 */
export class BufferPool {
  readonly #free: Buffer[] = [];
  readonly #slots: Semaphore;

  /** @param max Maximum number of buffers in use. */
  constructor(max: number) {
    this.#slots = new Semaphore(max);
  }

  get lent(): number {
    return this.#slots.held;
  }

  async take({ signal }: { signal: AbortSignal }): Promise<Buffer> {
    await this.#slots.acquire({ signal });
    return this.#next();
  }

  /** Non-blocking `take`, for callers that already hold a buffer and must not wait for another. */
  tryTake(): Buffer | null {
    return this.#slots.tryAcquire() ? this.#next() : null;
  }

  give(buffer: Buffer): void {
    this.#free.push(buffer);
    this.#slots.release();
  }

  /** For a buffer that the kernel may still be using: frees its slot, but leaves the buffer to the garbage collector. */
  abandon(): void {
    this.#slots.release();
  }

  #next(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLICE_BYTES);
  }
}
