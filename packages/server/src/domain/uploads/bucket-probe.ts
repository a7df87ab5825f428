import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';

/** How long a result is reused. */
const FRESH_MS = 1000;

interface Check {
  readonly result: Promise<void>;
  /** Undefined while the check runs. */
  finishedAt: number | undefined;
}

/**
 * Checks whether the object store responds. Concurrent callers share one check: a store that hangs costs one wait,
 * not one for each queued upload.
 */
export class BucketProbe {
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  #last: Check | undefined;

  constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** @throws BucketError `unavailable`, also if a check found that up to a second ago. */
  assertAvailable(): Promise<void> {
    const last = this.#last;
    return last !== undefined && this.#isFresh(last) ? last.result : this.#check();
  }

  #isFresh({ finishedAt }: Check): boolean {
    return finishedAt === undefined || this.#clock.elapsed() - finishedAt < FRESH_MS;
  }

  #check(): Promise<void> {
    const result = this.#ping();
    const check: Check = { result, finishedAt: undefined };
    this.#last = check;
    const onFinished = (): void => {
      check.finishedAt = this.#clock.elapsed();
    };
    result.then(onFinished, onFinished);
    return result;
  }

  async #ping(): Promise<void> {
    try {
      await this.#bucket.ping();
    } catch (error) {
      // A policy may forbid this request, but the store responded.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
  }
}
