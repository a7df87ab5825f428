/**
 * Timeout for the store's response after the kernel has taken the last byte of a part. On a slow network that byte may be
 * in transit for minutes, but a dead peer must be detected within one. So the timeout starts short, and each missing
 * response doubles it for later PUTs. Responses shorten it again, so that a dead peer does not slow down the detection of
 * the next one.
 */
export class ResponseTimeout {
  readonly #firstMs: number;
  readonly #maxMs: number;
  #ms: number;

  constructor({ firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }) {
    this.#firstMs = firstMs;
    this.#ms = firstMs;
    this.#maxMs = maxMs;
  }

  get ms(): number {
    return this.#ms;
  }

  /** Doubles the timeout. @param waitedMs The expired timeout; several PUTs that expire together count once. */
  increase(waitedMs: number): void {
    this.#ms = Math.max(this.#ms, Math.min(this.#maxMs, waitedMs * 2));
  }

  /** Halves the timeout after a response, but to no less than twice the response time. */
  observe(tookMs: number): void {
    this.#ms = Math.min(this.#maxMs, Math.max(this.#firstMs, this.#ms / 2, tookMs * 2));
  }
}
