import { setTimeout as delay } from 'node:timers/promises';
import { Budget } from '@backhaul/protocol';

/** Bytes that may be read for checksums without a limit: about a window, so that PUTs never wait for hashing. */
const READ_AHEAD_BYTES = 64 * 1024 * 1024;
const RECHECK_MS = 60_000;

export interface ReadPaceOptions {
  /** Number of parts that are read without waiting; later parts wait longer for them. */
  readonly firstParts: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Limits the reading of one file for checksums to the rate at which it may be sent: otherwise a request for a file of a
 * terabyte keeps the disk busy for hours, however low the rate is. Each upload has its own pace, because one that reads
 * huge parts, or was cancelled, must not delay the others.
 */
export class ReadPace {
  readonly #rate: () => number | null;
  readonly #now: () => number;
  #budget: Budget | null = null;
  #budgetRate: number | null = null;
  #firstParts: number;

  /** @param bytesPerSecond Called for each part; null for no limit. */
  constructor(bytesPerSecond: () => number | null, { firstParts, now }: ReadPaceOptions) {
    this.#rate = bytesPerSecond;
    this.#now = now;
    this.#firstParts = firstParts;
  }

  /** Waits until a part may be read. A part larger than the remaining budget is read, and the next one waits longer. */
  async take(bytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    let debtMs = this.#debtMs();
    if (this.#firstParts > 0) {
      this.#firstParts -= 1;
      debtMs = 0;
    }
    // Rechecked periodically, because the rate may have changed.
    for (; debtMs > 0; debtMs = this.#debtMs()) {
      await delay(Math.min(debtMs, RECHECK_MS), undefined, { signal });
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
