import { BackhaulError } from '@backhaul/protocol';
import { backoffMs, pause } from '../backoff.ts';
import { type ByteRange, ReadFailure } from './stored-object.ts';

export const RANGE_BYTES = 8 * 1024 * 1024;
const PARALLEL_RANGES = 4;

const BACKOFF = { baseMs: 200, maxMs: 5000 };

/** Consecutive failures without a byte in between; about 12 s. */
const MAX_FAILURES = 6;

/** Source of the bytes: `StoredObject`, or a fake in tests. */
export interface RangeSource {
  read(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export type WriteAt = (chunk: Uint8Array, position: number) => Promise<void>;

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

/**
 * Reads one range and passes every byte to `write` once, in order. After a failure it resumes after the last byte.
 *
 * @throws BackhaulError after too many failures; errors of `write`, at once.
 */
export async function fetchRange(
  source: RangeSource,
  range: ByteRange,
  { write, signal }: { readonly write: WriteAt; readonly signal: AbortSignal },
): Promise<void> {
  let position = range.start;
  let failures = 0;
  for (;;) {
    let failure = new ReadFailure('storage_unavailable', 'The object store ended its response too early.');
    try {
      for await (const chunk of source.read({ start: position, end: range.end }, signal)) {
        if (position + chunk.length > range.end) {
          throw new BackhaulError('checksum_mismatch', 'The object store sent more bytes than requested.');
        }
        await write(chunk, position);
        position += chunk.length;
        if (chunk.length > 0) failures = 0;
      }
      if (position === range.end) return;
    } catch (error) {
      if (!(error instanceof ReadFailure)) throw error;
      failure = error;
    }
    failures += 1;
    if (failures >= MAX_FAILURES) throw new BackhaulError(failure.code, failure.message, { cause: failure });
    await pause(Math.max(backoffMs(failures, BACKOFF), failure.retryAfterMs), signal);
  }
}
