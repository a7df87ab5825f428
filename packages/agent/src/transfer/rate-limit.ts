import { setTimeout as delay } from 'node:timers/promises';

/** Up to this much of the past's unused rate may be used at once. */
const BURST_MS = 100;

/** One budget of bytes per second for all that the process uploads. First come, first served. */
export class RateLimit {
  readonly #bytesPerMs: number;
  readonly #now: () => number;
  #spentUntil = Number.NEGATIVE_INFINITY;

  /** @param now Monotonic, milliseconds. */
  constructor(bytesPerSecond: number, now: () => number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#now = now;
  }

  /** Small enough that several connections share even a low rate smoothly. Bytes. */
  get sliceBytes(): number {
    return Math.round(Math.min(64 * 1024, Math.max(1024, (this.#bytesPerMs * 1000) / 20)));
  }

  /** How long `bytes` may take when as many others share the rate as the process has buffers. */
  worstCaseMs(bytes: number, sharers: number): number {
    return (bytes * sharers) / this.#bytesPerMs;
  }

  /** Waits until `bytes` may be sent. */
  async take(bytes: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const now = this.#now();
    this.#spentUntil = Math.max(this.#spentUntil, now - BURST_MS) + bytes / this.#bytesPerMs;
    const waitMs = this.#spentUntil - now;
    if (waitMs > 0) await delay(waitMs, undefined, { signal });
  }
}
