/**
 * A signal that aborts when time runs out or when its parent does. `AbortSignal.timeout` cannot be extended and
 * does not say afterwards which of the two it was.
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

  /** Whether it was time that ran out, not the parent that aborted. */
  get expired(): boolean {
    return this.#expired;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Starts the time anew: what was waited for has shown progress. */
  extend(): void {
    clearTimeout(this.#timer);
    if (this.#controller.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.#controller.abort(new DOMException('the deadline has passed', 'TimeoutError'));
    }, this.#timeoutMs);
  }

  /** Stops the time until `extend`: it is this side that keeps the other waiting. */
  suspend(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#parent?.removeEventListener('abort', this.#onParentAbort);
  }
}
