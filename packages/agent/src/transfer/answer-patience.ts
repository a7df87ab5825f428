/**
 * How long to wait for the store's answer to a part whose last byte the kernel has taken. Over a slow line that byte
 * may still be on its way for minutes, but a dead peer must be noticed within one: so the wait begins short, and each
 * answer that did not come in time doubles it for all later ones.
 */
export class AnswerPatience {
  readonly #maxMs: number;
  #ms: number;

  constructor({ firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }) {
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
}
