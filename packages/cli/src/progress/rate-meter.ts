interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** The first bytes may fill buffers: then the rate at the start exceeds the later rate by at least this factor. */
const START_MS = 3000;
const START_FACTOR = 1.25;

/** Measures the transfer rate over the last seconds rather than since the start, as an ETA requires. */
export class RateMeter {
  readonly #windowMs: number;
  #samples: Sample[] = [];
  /** Time of the first sample; null once the start was checked or can no longer be checked. */
  #startedAt: number | null = null;

  constructor(windowMs = 10_000) {
    this.#windowMs = windowMs;
  }

  /** @param bytes Total so far. */
  add(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (bytes === 0) this.#samples = [];
    if (this.#samples.length === 0) this.#startedAt = at;
    // A part was lost and must be sent again: lower the earlier counts so that the measured rate stays the same.
    else if (last !== undefined && bytes < last.bytes) {
      const lost = last.bytes - bytes;
      this.#startedAt = null;
      this.#samples = this.#samples.map((sample) => ({ ...sample, bytes: sample.bytes - lost }));
    }
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) <= at - this.#windowMs) {
      this.#samples.shift();
    }
    if (this.#startedAt !== null && at >= this.#startedAt + 2 * START_MS)
      this.#dropFastStart(this.#startedAt);
  }

  /** Bytes per second up to `now`; undefined until there are two samples at different times. */
  bytesPerSecond(now: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at === first.at) return undefined;
    // Silence after the last sample lowers the rate, but only once it exceeds the usual gap between samples.
    const spanMs = last.at - first.at;
    const usualGapMs = spanMs / (this.#samples.length - 1);
    const silentMs = Math.max(0, now - last.at - Math.max(1000, 1.5 * usualGapMs));
    const rate = slope(this.#samples) * 1000 * (spanMs / (spanMs + silentMs));
    return rate > 0 ? rate : undefined;
  }

  #dropFastStart(startedAt: number): void {
    const end = this.#samples.findIndex(({ at }) => at >= startedAt + START_MS);
    const [start, rest] = [this.#samples.slice(0, end + 1), this.#samples.slice(end)];
    // A rate over a shorter time is not reliable.
    if ((rest.at(-1)?.at ?? 0) - (rest[0]?.at ?? 0) < START_MS / 2) return;
    this.#startedAt = null;
    const laterSlope = slope(rest);
    // During a stall only the start has a rate.
    if (start.length > 1 && laterSlope > 0 && slope(start) > laterSlope * START_FACTOR) this.#samples = rest;
  }
}

/** Slope of the least-squares line through the samples: a single burst, such as a buffer filling, changes it little. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const at = mean((sample) => sample.at);
  const bytes = mean((sample) => sample.bytes);
  return (
    mean((sample) => (sample.at - at) * (sample.bytes - bytes)) / mean((sample) => (sample.at - at) ** 2)
  );
}
