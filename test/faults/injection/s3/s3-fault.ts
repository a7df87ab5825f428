import type { S3Exchange } from './s3-exchange.ts';

/** Callbacks from a fault to the rule that applies it. */
export interface FaultControl {
  /** The fault calls this once per call, when it takes effect; otherwise it is not counted. */
  readonly tookEffect: () => void;
  /**
   * Waits until the rule is released.
   *
   * @param unless Ends the wait early, as the end of the rule does.
   * @returns Whether the rule was released.
   */
  readonly released: (unless?: AbortSignal) => Promise<boolean>;
}

/** Handles one call instead of forwarding it. */
export interface S3Fault {
  /** Name for counts and messages, e.g. `dropAnswer` or `error SlowDown`. */
  readonly kind: string;
  /** @throws ConnectionLost if the client or store disconnects; any other error is a bug in the test. */
  readonly apply: (exchange: S3Exchange, control: FaultControl) => Promise<void>;
}
