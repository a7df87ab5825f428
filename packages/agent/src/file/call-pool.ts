/** A file system, as far as the pool has to know it. */
export interface PoolUser {
  /** Calls that were given up and have not come back. */
  readonly hanging: number;
}

/**
 * Shares the threads of libuv's pool among file systems, so that one always gets in that has no call under way. Those
 * with hanging calls together take half of the threads at most. Of what they leave, the others may take half for calls
 * beyond the first of each; and once anything hangs, each of them an eighth: it may be the next one that hangs, and
 * that is known only when its calls have been given up.
 */
export class CallPool {
  readonly #size: number;
  readonly #running = new Map<PoolUser, number>();
  readonly #waiting: Array<{ readonly user: PoolUser; readonly start: () => void }> = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** @throws The signal's reason once it is aborted, if the call has not been made by then. */
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
    // Nearly always, and a thousand times for each gigabyte that is read.
    if (this.#waiting.length === 0 && this.#hasRoom(user)) return this.#start(user);
    const turn = Promise.withResolvers<void>();
    const waiting = { user, start: turn.resolve };
    this.#waiting.push(waiting);
    this.#startWaiting();
    const leave = () => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return; // Its turn has come already.
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

  /** In order; one that has to wait does not hold up those behind it. */
  #startWaiting(): void {
    for (let at = 0; at < this.#waiting.length;) {
      const next = this.#waiting[at];
      if (next === undefined || !this.#hasRoom(next.user)) {
        at += 1;
        continue;
      }
      this.#waiting.splice(at, 1);
      this.#start(next.user);
      next.start();
    }
  }

  #hasRoom(user: PoolUser): boolean {
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
