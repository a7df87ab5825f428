/** Time as the domain sees it, so that tests can steer it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}
