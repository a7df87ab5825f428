import { setTimeout as delay } from 'node:timers/promises';
import { SLICE_BYTES } from '../file/buffer-pool.ts';

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
