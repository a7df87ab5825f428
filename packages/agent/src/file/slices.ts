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

/** Byte range of a file. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

export interface SliceReader {
  /** Fills `buffer`, starting at `offset` of the file. After a rejection, a call that timed out may still write into it. */
  readFully(buffer: Uint8Array, offset: number): Promise<void>;
}

interface ReadOptions {
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

interface PendingRead {
  readonly buffer: Buffer;
  readonly slice: Buffer;
  /** Never rejects: an error is thrown when the slice is requested. */
  readonly outcome: Promise<{ readonly error: unknown } | null>;
}

/**
 * Reads a range slice by slice. While the consumer processes a slice, the next one is read if a buffer is free. A slice is
 * valid until the next one is requested. If the consumer stops early, a write of its slice may still be pending, so that
 * buffer is not reused.
 *
 * @throws The read error; the signal's reason.
 */
export async function* readSlices(
  file: SliceReader,
  range: Range,
  { buffers, signal }: ReadOptions,
): AsyncGenerator<Buffer, void, void> {
  const read = (buffer: Buffer, done: number): PendingRead => {
    const slice = buffer.subarray(0, Math.min(SLICE_BYTES, range.length - done));
    const outcome = file.readFully(slice, range.offset + done).then(
      () => null,
      (error: unknown) => ({ error }),
    );
    return { buffer, slice, outcome };
  };
  let ahead: PendingRead | null = null;
  try {
    for (let done = 0; done < range.length;) {
      signal.throwIfAborted();
      const { buffer, slice, outcome }: PendingRead = ahead ?? read(await buffers.take({ signal }), done);
      ahead = null;
      let used = false;
      try {
        const failure = await outcome;
        if (failure !== null) throw failure.error;
        done += slice.length;
        const spare = done < range.length ? buffers.tryTake() : null;
        if (spare !== null) ahead = read(spare, done);
        yield slice;
        used = true;
      } finally {
        if (used) buffers.give(buffer);
        else buffers.abandon();
      }
    }
  } finally {
    // The kernel may still write into it, even after a failure.
    if (ahead !== null) {
      if ((await ahead.outcome) === null) buffers.give(ahead.buffer);
      else buffers.abandon();
    }
  }
}
