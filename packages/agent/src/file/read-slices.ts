import { type BufferPool, SLICE_BYTES } from './buffer-pool.ts';

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
