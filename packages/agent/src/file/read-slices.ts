import { type BufferPool, SLICE_BYTES } from './buffer-pool.ts';

/** Of a file, in bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

export interface SliceReader {
  /** Fills `buffer` from `offset` on, or rejects; what was given up may still write into it. */
  readFully(buffer: Uint8Array, offset: number): Promise<void>;
}

interface ReadOptions {
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

interface PendingRead {
  readonly buffer: Buffer;
  readonly slice: Buffer;
  /** Never rejects: what went wrong is thrown when the slice's turn comes. */
  readonly outcome: Promise<{ readonly error: unknown } | null>;
}

/**
 * The bytes of a range, slice by slice. While one is looked at the next is read, if there is a buffer to spare. A
 * slice is valid until the next one is asked for. A consumer that stops early may still have a write of it pending,
 * so its buffer is not used again.
 *
 * @throws What reading threw; the signal's reason.
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
        const spare = done < range.length ? buffers.takeAtOnce() : null;
        if (spare !== null) ahead = read(spare, done);
        yield slice;
        used = true;
      } finally {
        if (used) buffers.give(buffer);
        else buffers.abandon();
      }
    }
  } finally {
    // The kernel still writes into it, perhaps even after a failure.
    if (ahead !== null) {
      if ((await ahead.outcome) === null) buffers.give(ahead.buffer);
      else buffers.abandon();
    }
  }
}
