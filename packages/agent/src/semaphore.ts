/** Limits how many callers hold it at the same time; the others wait in FIFO order. */
export class Semaphore {
  readonly #max: number;
  readonly #waiting: Array<() => void> = [];
  #held = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get held(): number {
    return this.#held;
  }

  /** @returns Whether it was acquired; never overtakes a waiting caller. */
  tryAcquire(): boolean {
    this.#grant();
    if (this.#held >= this.#max) return false;
    this.#held += 1;
    return true;
  }

  /** @throws The signal's reason once it is aborted; nothing is acquired then. */
  async acquire({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    if (this.tryAcquire()) return;
    const turn = Promise.withResolvers<void>();
    const leave = () => {
      const at = this.#waiting.indexOf(turn.resolve);
      if (at < 0) return; // Already acquired.
      this.#waiting.splice(at, 1);
      turn.reject(signal.reason);
    };
    this.#waiting.push(turn.resolve);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Passes the slot directly to the caller that has waited longest. */
  release(): void {
    this.#held -= 1;
    this.#grant();
  }

  async run<Result>(task: () => Promise<Result>, options: { signal: AbortSignal }): Promise<Result> {
    await this.acquire(options);
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  #grant(): void {
    while (this.#waiting.length > 0 && this.#held < this.#max) {
      this.#held += 1;
      this.#waiting.shift()?.();
    }
  }
}
