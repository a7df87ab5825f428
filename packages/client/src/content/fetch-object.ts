import { fetchRange, type RangeSource, type WriteAt } from './fetch-range.ts';
import type { ByteRange } from './stored-object.ts';

export const RANGE_BYTES = 8 * 1024 * 1024;
const PARALLEL_RANGES = 4;

export interface FetchObjectOptions {
  readonly ranges: Iterable<ByteRange>;
  readonly write: WriteAt;
  readonly signal: AbortSignal;
  /** Whether to read several ranges at once, written in any order; otherwise one after the other, in order. */
  readonly parallel: boolean;
}

/** Reads an object in ranges. The first failure aborts all of them; none is still writing when this returns. */
export async function fetchObject(
  source: RangeSource,
  { ranges, write, signal, parallel }: FetchObjectOptions,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  // Shared by the workers, so that each range is read by one of them.
  const queue = ranges[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      either.throwIfAborted();
      await fetchRange(source, next.value, { write, signal: either });
    }
  };
  const workers = Array.from({ length: parallel ? PARALLEL_RANGES : 1 }, () =>
    worker().catch((error: unknown) => failed.abort(error)),
  );
  await Promise.all(workers);
  either.throwIfAborted();
}

/** An empty object is one empty range, which is also requested, to check that the object exists. */
export function* cutIntoRanges(sizeBytes: number): Generator<ByteRange, void, undefined> {
  let start = 0;
  do {
    const end = Math.min(sizeBytes, start + RANGE_BYTES);
    yield { start, end };
    start = end;
  } while (start < sizeBytes);
}
