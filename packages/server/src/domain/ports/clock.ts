/** The domain's source of time; tests replace it. */
export interface Clock {
  /** Milliseconds since the epoch by the machine's clock, which can be set forward or back at any moment. */
  now(): number;
  /** Milliseconds since an arbitrary moment of this process; cannot be set. Used to measure durations. */
  elapsed(): number;
}
