/** Counts how often something took effect, and lets callers wait for it. */
export class EffectCount {
  #count = 0;
  readonly #waiting = new Set<{ readonly count: number; readonly resolve: () => void }>();

  get count(): number {
    return this.#count;
  }

  add(): void {
    this.#count++;
    for (const waiter of this.#waiting) if (waiter.count <= this.#count) waiter.resolve();
  }

  /**
   * @param options.describe Returns the message for a missed deadline.
   * @throws Error with the description if the count is not reached in time.
   */
  async reached(count: number, options: { deadlineMs: number; describe: () => string }): Promise<void> {
    if (this.#count >= count) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { count, resolve };
    const fail = (): void =>
      reject(new Error(`${options.describe()} (waited ${options.deadlineMs} ms for ${count})`));
    const timer = setTimeout(fail, options.deadlineMs);
    this.#waiting.add(waiter);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiter);
    }
  }
}
