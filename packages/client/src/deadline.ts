/**
 * A signal that aborts when the time runs out or when its parent aborts. Unlike `AbortSignal.timeout` it can be extended,
 * and `expired` says which of the two happened.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  readonly #parent: AbortSignal | undefined;
  readonly #onParentAbort = (): void => this.#controller.abort(this.#parent?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #expired = false;

  constructor(timeoutMs: number, parent?: AbortSignal) {
    this.#timeoutMs = timeoutMs;
    this.#parent = parent;
    if (parent?.aborted) this.#onParentAbort();
    else {
      parent?.addEventListener('abort', this.#onParentAbort, { once: true });
      this.extend();
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the time ran out, as opposed to the parent aborting. */
  get expired(): boolean {
    return this.#expired;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Restarts the timer after progress. */
  extend(): void {
    clearTimeout(this.#timer);
    if (this.#controller.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.#controller.abort(new DOMException('the deadline has passed', 'TimeoutError'));
    }, this.#timeoutMs);
  }

  /** Stops the timer until `extend`, while the delay is on this side. */
  suspend(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#parent?.removeEventListener('abort', this.#onParentAbort);
  }
}
