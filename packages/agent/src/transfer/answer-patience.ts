/**
 * How long to wait for the store's answer to a part whose last byte the kernel has taken. Over a slow line that byte
 * may still be on its way for minutes, but a dead peer must be noticed within one: so the wait begins short, and each
 * answer that did not come in time doubles it for all later ones. What was a dead peer after all must not make the
 * next one wait for longer, so answers shorten it again.
 */
export class AnswerPatience {
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

  /** @param waitedMs What was not enough; several PUTs that ran out together count once. */
  wasNotEnough(waitedMs: number): void {
    this.#ms = Math.max(this.#ms, Math.min(this.#maxMs, waitedMs * 2));
  }

  /** Halves it with each answer, but to no less than twice what the answer took. */
  wasEnough(tookMs: number): void {
    this.#ms = Math.min(this.#maxMs, Math.max(this.#firstMs, this.#ms / 2, tookMs * 2));
  }
}
