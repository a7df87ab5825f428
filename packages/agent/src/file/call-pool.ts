import { WaitQueue } from '../semaphore.ts';

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
  readonly #queue = new WaitQueue<PoolUser, true>();

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
    if (this.#queue.isEmpty && this.#tryStart(user) !== null) return;
    const turn = this.#queue.wait(user, { signal });
    this.#startWaiting();
    await turn;
  }

  #tryStart(user: PoolUser): true | null {
    if (!this.#mayStart(user)) return null;
    this.#running.set(user, (this.#running.get(user) ?? 0) + 1);
    return true;
  }

  #leave(user: PoolUser): void {
    const left = (this.#running.get(user) ?? 0) - 1;
    if (left > 0) this.#running.set(user, left);
    else this.#running.delete(user);
    this.#startWaiting();
  }

  /** A file system that has to wait does not block those behind it. */
  #startWaiting(): void {
    this.#queue.offer((user) => this.#tryStart(user), { overtake: true });
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
