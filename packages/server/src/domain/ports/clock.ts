/** Time as the domain sees it, so that tests can steer it. */
export interface Clock {
  /** Milliseconds since the epoch, as the machine's clock has it: it can be set, forward or back, at any moment. */
  now(): number;
  /** Milliseconds since some moment of this process, which cannot be set. What lasts is measured by it. */
  elapsed(): number;
}
