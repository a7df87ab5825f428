import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';

/** How long an answer holds. */
const FRESH_MS = 1000;

interface Asked {
  readonly answer: Promise<void>;
  /** Undefined until then. */
  settledAt: number | undefined;
}

/**
 * Whether the object store answers, asked once for everybody who wants to know at about the same time: a store
 * that hangs costs one wait, not one for each upload that is queued.
 */
export class BucketProbe {
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  #last: Asked | undefined;

  constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** @throws BucketError `unavailable`, also of a question up to a second ago. */
  assertAnswers(): Promise<void> {
    const last = this.#last;
    return last !== undefined && this.#isFresh(last) ? last.answer : this.#ask();
  }

  #isFresh({ settledAt }: Asked): boolean {
    return settledAt === undefined || this.#clock.elapsed() - settledAt < FRESH_MS;
  }

  #ask(): Promise<void> {
    const answer = this.#ping();
    const asked: Asked = { answer, settledAt: undefined };
    this.#last = asked;
    const settled = (): void => {
      asked.settledAt = this.#clock.elapsed();
    };
    answer.then(settled, settled);
    return answer;
  }

  async #ping(): Promise<void> {
    try {
      await this.#bucket.ping();
    } catch (error) {
      // A policy may forbid just this question; the store is there.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
  }
}
