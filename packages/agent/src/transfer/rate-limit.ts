import { setTimeout as delay } from 'node:timers/promises';
import { Budget } from '@backhaul/protocol';
import { SLICE_BYTES } from '../file/slices.ts';

/** Maximum time whose unused rate may be used later. */
const BURST_MS = 100;
const MAX_SLICE_BYTES = 64 * 1024;

interface RateLimitOptions {
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** A shared limit that also applies; undefined for the limit of all uploads. */
  readonly parent?: RateLimit | null;
}

/** A rate limit in bytes per second, shared by all callers in FIFO order. */
export class RateLimit {
  readonly #rate: () => number | null;
  readonly #now: () => number;
  readonly #parent: RateLimit | null;
  /** Whether it applies to one upload only. */
  readonly isPerUpload: boolean;
  #waiting = 0;
  #spentUntil = Number.NEGATIVE_INFINITY;

  /** @param bytesPerSecond A function is called each time and returns null for no limit. */
  constructor(bytesPerSecond: number | (() => number | null), { now, parent }: RateLimitOptions) {
    this.#rate = typeof bytesPerSecond === 'number' ? () => bytesPerSecond : bytesPerSecond;
    this.#now = now;
    this.#parent = parent ?? null;
    this.isPerUpload = parent !== undefined;
  }

  /** Current limit in bytes per second, including the shared one; null for no limit. */
  get bytesPerSecond(): number | null {
    const rates = [this.#rate(), this.#parent?.bytesPerSecond ?? null].filter((rate) => rate !== null);
    return rates.length === 0 ? null : Math.min(...rates);
  }

  /** Whether a caller waits for this limit itself, not for the shared one. */
  get hasWaiters(): boolean {
    return this.#waiting > 0;
  }

  /** Write size in bytes, small enough that several connections share a low rate evenly. */
  get sliceBytes(): number {
    const rate = this.bytesPerSecond;
    if (rate === null) return SLICE_BYTES;
    return Math.round(Math.min(MAX_SLICE_BYTES, Math.max(1024, rate / 20)));
  }

  /** Maximum duration for `bytes` at the current rate, shared by `sharers` PUTs. */
  worstCaseMs(bytes: number, sharers: number): number {
    const rate = this.bytesPerSecond;
    return rate === null ? 0 : (bytes * sharers * 1000) / rate;
  }

  /** Waits until `bytes` may be sent. */
  async take(bytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const rate = this.#rate();
    if (rate !== null) {
      const now = this.#now();
      this.#spentUntil = Math.max(this.#spentUntil, now - BURST_MS) + (bytes * 1000) / rate;
      const waitMs = this.#spentUntil - now;
      if (waitMs > 0) await this.#wait(waitMs, signal);
    }
    await this.#parent?.take(bytes, { signal });
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    this.#waiting += 1;
    try {
      await delay(ms, undefined, { signal });
    } finally {
      this.#waiting -= 1;
    }
  }
}

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
