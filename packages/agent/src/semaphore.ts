interface Waiter<Request, Slot> {
  readonly request: Request;
  readonly take: (slot: Slot) => void;
}

/** Callers that wait for a slot, in FIFO order. Its owner decides who gets one. */
export class WaitQueue<Request, Slot> {
  readonly #waiters: Waiter<Request, Slot>[] = [];

  get isEmpty(): boolean {
    return this.#waiters.length === 0;
  }

  /** @throws The signal's reason if it is aborted before the caller gets a slot. */
  async wait(request: Request, { signal }: { signal: AbortSignal }): Promise<Slot> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<Slot>();
    const waiter = { request, take: turn.resolve };
    const leave = () => {
      const at = this.#waiters.indexOf(waiter);
      if (at < 0) return; // Already has a slot.
      this.#waiters.splice(at, 1);
      turn.reject(signal.reason);
    };
    this.#waiters.push(waiter);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /**
   * Offers a slot to each caller.
   *
   * @param slotFor Null if this caller has to wait.
   * @param options.overtake Whether those behind a caller that has to wait may get a slot.
   */
  offer(slotFor: (request: Request) => Slot | null, { overtake }: { overtake: boolean }): void {
    for (let at = 0; at < this.#waiters.length;) {
      const waiter = this.#waiters[at];
      const slot = waiter === undefined ? null : slotFor(waiter.request);
      if (waiter !== undefined && slot !== null) {
        this.#waiters.splice(at, 1);
        waiter.take(slot);
      } else if (overtake) {
        at += 1;
      } else {
        return;
      }
    }
  }
}

/** Limits how many callers hold it at the same time; the others wait in FIFO order. */
export class Semaphore {
  readonly #max: number;
  readonly #queue = new WaitQueue<undefined, true>();
  #held = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get held(): number {
    return this.#held;
  }

  /** @returns Whether it was acquired; never overtakes a waiting caller. */
  tryAcquire(): boolean {
    return this.#queue.isEmpty && this.#hold() !== null;
  }

  /** @throws The signal's reason once it is aborted; nothing is acquired then. */
  async acquire({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    if (!this.tryAcquire()) await this.#queue.wait(undefined, { signal });
  }

  /** Passes the slot directly to the caller that has waited longest. */
  release(): void {
    this.#held -= 1;
    this.#queue.offer(() => this.#hold(), { overtake: false });
  }

  async run<Result>(task: () => Promise<Result>, options: { signal: AbortSignal }): Promise<Result> {
    await this.acquire(options);
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  #hold(): true | null {
    if (this.#held >= this.#max) return null;
    this.#held += 1;
    return true;
  }
}
