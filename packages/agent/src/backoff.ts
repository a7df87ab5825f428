export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Full jitter, `random(0, min(cap, base·2ⁿ))`: clients that failed for the same reason retry at evenly spread times
 * (AWS Architecture Blog, "Exponential Backoff and Jitter").
 *
 * @param failures Failures before this wait, from 0.
 * @param random Uniform in [0, 1).
 */
export function fullJitter(failures: number, { baseMs, capMs }: Backoff, random: () => number): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}
