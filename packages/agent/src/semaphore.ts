/** Lets so many in at once; the others wait in order. */
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

  /** @returns Whether it was let in; nobody who waits is passed by. */
  tryAcquire(): boolean {
    this.#admit();
    if (this.#held >= this.#max) return false;
    this.#held += 1;
    return true;
  }

  /** @throws The signal's reason once it is aborted; nothing is held then. */
  async acquire({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    if (this.tryAcquire()) return;
    const turn = Promise.withResolvers<void>();
    const leave = () => {
      const at = this.#waiting.indexOf(turn.resolve);
      if (at < 0) return; // Its turn has come already.
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

  /** The place goes straight to whoever has waited longest. */
  release(): void {
    this.#held -= 1;
    this.#admit();
  }

  async run<Result>(task: () => Promise<Result>, options: { signal: AbortSignal }): Promise<Result> {
    await this.acquire(options);
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#held < this.#max) {
      this.#held += 1;
      this.#waiting.shift()?.();
    }
  }
}
