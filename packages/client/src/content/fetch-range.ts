import { BackhaulError } from '@backhaul/protocol';
import { backoffMs, pause } from '../backoff.ts';
import { ReadFailure } from './read-failure.ts';
import type { ByteRange } from './stored-object.ts';

const BACKOFF = { baseMs: 200, maxMs: 5000 };

/** Consecutive failures without a byte in between; about 12 s. */
const MAX_FAILURES = 6;

/** Source of the bytes: `StoredObject`, or a fake in tests. */
export interface RangeSource {
  read(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export type WriteAt = (chunk: Uint8Array, position: number) => Promise<void>;

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
