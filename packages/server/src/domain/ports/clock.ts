/** The domain's source of time; tests replace it. */
export interface Clock {
  /** Milliseconds since the epoch by the machine's clock, which can be set forward or back at any moment. */
  now(): number;
  /** Milliseconds since an arbitrary moment of this process; cannot be set. Used to measure durations. */
  elapsed(): number;
}

/** Maximum delay of setTimeout, about 25 days. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Delay for a timer that waits until `at`. It may fire early: check the clock again then. */
export function delayUntil(at: number, clock: Clock): number {
  return Math.min(MAX_TIMEOUT_MS, Math.max(0, at - clock.now()));
}
