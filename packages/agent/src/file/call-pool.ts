/** A file system that uses the pool. */
export interface PoolUser {
  /** Calls that timed out and have not returned. */
  readonly hanging: number;
}

/**
 * Shares the threads of libuv's pool among file systems, so that a file system without running calls always gets one.
 * File systems with hanging calls together use at most half of the threads. Of the rest, the others may use half for
 * calls beyond the first of each; and once any call hangs, at most an eighth each, because the next file system may hang
 * undetected until its calls time out.
 */
export class CallPool {
  readonly #size: number;
  readonly #running = new Map<PoolUser, number>();
  readonly #waiting: Array<{ readonly user: PoolUser; readonly start: () => void }> = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** @throws The signal's reason if it is aborted before the call has started. */
  async run<Value>(
    user: PoolUser,
    call: () => Promise<Value>,
    { signal }: { signal: AbortSignal },
  ): Promise<Value> {
    await this.#enter(user, signal);
    try {
      return await call();
    } finally {
      this.#leave(user);
    }
  }

  async #enter(user: PoolUser, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    // Fast path, taken almost always: about a thousand times per gigabyte.
    if (this.#waiting.length === 0 && this.#mayStart(user)) return this.#start(user);
    const turn = Promise.withResolvers<void>();
    const waiting = { user, start: turn.resolve };
    this.#waiting.push(waiting);
    this.#startWaiting();
    const leave = () => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return; // Already started.
      this.#waiting.splice(at, 1);
      turn.reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #start(user: PoolUser): void {
    this.#running.set(user, (this.#running.get(user) ?? 0) + 1);
  }

  #leave(user: PoolUser): void {
    const left = (this.#running.get(user) ?? 0) - 1;
    if (left > 0) this.#running.set(user, left);
    else this.#running.delete(user);
    this.#startWaiting();
  }

  /** In FIFO order, but a caller that has to wait does not block those after it. */
  #startWaiting(): void {
    for (let at = 0; at < this.#waiting.length;) {
      const next = this.#waiting[at];
      if (next === undefined || !this.#mayStart(next.user)) {
        at += 1;
        continue;
      }
      this.#waiting.splice(at, 1);
      this.#start(next.user);
      next.start();
    }
  }

  #mayStart(user: PoolUser): boolean {
    let [all, ofHanging] = [0, 0];
    for (const [{ hanging }, calls] of this.#running) {
      all += calls;
      if (hanging > 0) ofHanging += calls;
    }
    if (all >= this.#size) return false;
    if (user.hanging > 0) return ofHanging < this.#size / 2;
    const calls = this.#running.get(user) ?? 0;
    const left = this.#size - ofHanging;
    return calls === 0 || (all - ofHanging < left / 2 && (ofHanging === 0 || calls < left / 8));
  }
}
