import type { S3Exchange } from './s3-exchange.ts';

/** What a fault may ask of the rule that applies it. */
export interface FaultControl {
  /** To be called in the moment in which the fault shows, once for each call; without it, it does not count. */
  readonly tookEffect: () => void;
  /**
   * Waits for the rule's release.
   *
   * @param unless Ends the wait before that, as does the end of the rule.
   * @returns Whether it was released.
   */
  readonly released: (unless?: AbortSignal) => Promise<boolean>;
}

/** What is done to one call in place of passing it on. */
export interface S3Fault {
  /** For counts and messages, e.g. `dropAnswer` or `error SlowDown`. */
  readonly kind: string;
  /** @throws ConnectionLost when client or store have gone; anything else is a mistake in the test. */
  readonly apply: (exchange: S3Exchange, control: FaultControl) => Promise<void>;
}
