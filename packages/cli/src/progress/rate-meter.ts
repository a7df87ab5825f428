interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** How fast bytes arrive, over the last seconds rather than since the start: what a forecast needs. */
export class RateMeter {
  readonly #windowMs: number;
  #samples: Sample[] = [];

  constructor(windowMs = 8000) {
    this.#windowMs = windowMs;
  }

  /** @param bytes In all so far. Fewer than before means that the counting has begun anew. */
  add(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) <= at - this.#windowMs) {
      this.#samples.shift();
    }
  }

  /** Bytes per second up to `now`; undefined while there is nothing to tell it from. */
  bytesPerSecond(now: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.bytes === first.bytes) return undefined;
    // Silence after the last sample slows the rate down, but not within the usual gap between two.
    const until = Math.max(last.at, now - 1000);
    return until > first.at ? ((last.bytes - first.bytes) * 1000) / (until - first.at) : undefined;
  }
}
