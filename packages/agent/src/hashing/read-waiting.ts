import { readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { pauseBeforeRetry } from '../file/passing-errors.ts';
import type { Range } from '../file/read-slices.ts';
import type { CallCounter } from './call-counter.ts';

/** How long one file is read and hashed before another has its turn, or it is heard that it is to stop. */
const TURN_MS = 50;

/** The file ends before the range does. */
export class ShortFile extends Error {}

interface ReadOptions {
  /** To read into, again and again; others may use it between two slices. */
  readonly buffer: Buffer;
  readonly calls: CallCounter;
  readonly signal: AbortSignal;
}

/**
 * The bytes of a range, a buffer at a time; a slice is valid until the next one is asked for. It waits for the disk
 * itself: in a thread that has nothing else to do, that costs a fifth less than having another thread wait.
 *
 * @throws ShortFile; what the operating system said; the signal's reason.
 */
export async function* readWaiting(
  fd: number,
  { offset, length }: Range,
  { buffer, calls, signal }: ReadOptions,
): AsyncGenerator<Buffer, void, void> {
  let turnEndsAt = performance.now() + TURN_MS;
  let failures = 0;
  for (let done = 0; done < length;) {
    let bytesRead: number;
    try {
      const wanted = Math.min(buffer.length, length - done);
      bytesRead = calls.count(() => readSync(fd, buffer, 0, wanted, offset + done));
    } catch (error) {
      await pauseBeforeRetry(error, failures, { signal });
      failures += 1;
      continue;
    }
    if (bytesRead === 0) throw new ShortFile();
    failures = 0;
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
    if (performance.now() < turnEndsAt) continue;
    await turn();
    signal.throwIfAborted();
    turnEndsAt = performance.now() + TURN_MS;
  }
}
