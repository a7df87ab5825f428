import { setTimeout as delay } from 'node:timers/promises';
import { SLICE_BYTES } from '../file/buffer-pool.ts';

/** Up to this much of the past's unused rate may be used at once. */
const BURST_MS = 100;
const MAX_SLICE_BYTES = 64 * 1024;

interface RateLimitOptions {
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  /** A limit that holds as well, for this and for others; left out where this is the one for all. */
  readonly within?: RateLimit | null;
}

/** One budget of bytes per second for all that takes from it. First come, first served. */
export class RateLimit {
  readonly #rate: () => number | null;
  readonly #now: () => number;
  readonly #within: RateLimit | null;
  /** Whether it is of one upload, and not for all. */
  readonly isOfOne: boolean;
  #waiting = 0;
  #spentUntil = Number.NEGATIVE_INFINITY;

  /** @param bytesPerSecond A function is asked each time, and says null while there is no limit. */
  constructor(bytesPerSecond: number | (() => number | null), { now, within }: RateLimitOptions) {
    this.#rate = typeof bytesPerSecond === 'number' ? () => bytesPerSecond : bytesPerSecond;
    this.#now = now;
    this.#within = within ?? null;
    this.isOfOne = within !== undefined;
  }

  /** Bytes per second now, with what holds as well; null for as fast as it goes. */
  get bytesPerSecond(): number | null {
    const rates = [this.#rate(), this.#within?.bytesPerSecond ?? null].filter((rate) => rate !== null);
    return rates.length === 0 ? null : Math.min(...rates);
  }

  /** Whether somebody waits for this limit, and not for the one around it. */
  get isWaitedFor(): boolean {
    return this.#waiting > 0;
  }

  /** Small enough that several connections share even a low rate smoothly. Bytes. */
  get sliceBytes(): number {
    const rate = this.bytesPerSecond;
    if (rate === null) return SLICE_BYTES;
    return Math.round(Math.min(MAX_SLICE_BYTES, Math.max(1024, rate / 20)));
  }

  /** How long `bytes` may take at the present rate when as many others share it as the process has buffers. */
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
    await this.#within?.take(bytes, { signal });
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
