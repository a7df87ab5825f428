import { setTimeout as delay } from 'node:timers/promises';
import { Budget } from '@backhaul/protocol';

/** So much may be read for checksums before it is paced: the parts of a window, so that PUTs never wait for it. Bytes. */
const READ_AHEAD_BYTES = 64 * 1024 * 1024;
const LOOK_MS = 60_000;

export interface ReadPaceOptions {
  /** Parts that are read without waiting, and paid for by those that follow. */
  readonly firstParts: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Keeps the reading of one file for checksums to the rate at which it may be sent: otherwise a server that asks for a
 * file of a terabyte keeps the disk busy for hours, however low the rate is. Each upload has its own, because one that
 * reads huge parts, or was cancelled, must not delay the others.
 */
export class ReadPace {
  readonly #rate: () => number | null;
  readonly #now: () => number;
  #budget: Budget | null = null;
  #budgetRate: number | null = null;
  #firstParts: number;

  /** @param bytesPerSecond Asked for each part; null while there is no limit. */
  constructor(bytesPerSecond: () => number | null, { firstParts, now }: ReadPaceOptions) {
    this.#rate = bytesPerSecond;
    this.#now = now;
    this.#firstParts = firstParts;
  }

  /** Waits until a part may be read. One that is larger than what is left is read nevertheless, and paid for by the next. */
  async take(bytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    let debtMs = this.#debtMs();
    if (this.#firstParts > 0) {
      this.#firstParts -= 1;
      debtMs = 0;
    }
    // Looked at again now and then: the rate may have become another one.
    for (; debtMs > 0; debtMs = this.#debtMs()) {
      await delay(Math.min(debtMs, LOOK_MS), undefined, { signal });
    }
    this.#budget?.spend(bytes);
  }

  #debtMs(): number {
    const rate = this.#rate();
    if (rate !== this.#budgetRate) {
      this.#budgetRate = rate;
      this.#budget =
        rate === null ? null : new Budget({ perSecond: rate, burst: READ_AHEAD_BYTES, now: this.#now });
    }
    return this.#budget?.debtMs ?? 0;
  }
}
