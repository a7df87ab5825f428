import { fetchRange, type RangeSource, type WriteAt } from './fetch-range.ts';
import type { ByteRange } from './stored-object.ts';

const RANGE_BYTES = 8 * 1024 * 1024;
const PARALLEL_RANGES = 4;

export interface FetchObjectOptions {
  readonly sizeBytes: number;
  readonly write: WriteAt;
  readonly signal: AbortSignal;
  /** Several ranges at once, written as they come; else one after the other, in order. */
  readonly parallel: boolean;
}

/** Reads a whole object in ranges. The first failure ends all of them; none is still writing afterwards. */
export async function fetchObject(
  source: RangeSource,
  { sizeBytes, write, signal, parallel }: FetchObjectOptions,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const ranges = cut(sizeBytes);
  const worker = async (): Promise<void> => {
    // The workers share the iterator, so each range is taken by one.
    for (const range of ranges) {
      either.throwIfAborted();
      await fetchRange(source, range, { write, signal: either });
    }
  };
  const workers = Array.from({ length: parallel ? PARALLEL_RANGES : 1 }, () =>
    worker().catch((error: unknown) => failed.abort(error)),
  );
  await Promise.all(workers);
  either.throwIfAborted();
}

/** An empty object is one empty range: it is asked for too, to see that it is there. */
function* cut(sizeBytes: number): Generator<ByteRange, void, undefined> {
  let start = 0;
  do {
    const end = Math.min(sizeBytes, start + RANGE_BYTES);
    yield { start, end };
    start = end;
  } while (start < sizeBytes);
}
