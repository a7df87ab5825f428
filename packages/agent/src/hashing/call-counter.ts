/**
 * Counts the blocking calls of one file in a worker thread, so that another thread can detect a call that does not
 * return: the count is odd during a call.
 */
export class CallCounter {
  /** Memory shared with the other thread. */
  readonly shared: SharedArrayBuffer;
  readonly #count: Int32Array;
  #seen = 0;
  #seenAt = 0;

  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#count = new Int32Array(shared);
  }

  count<Value>(call: () => Value): Value {
    Atomics.add(this.#count, 0, 1);
    try {
      return call();
    } finally {
      Atomics.add(this.#count, 0, 1);
    }
  }

  /** Observed duration of the current call in milliseconds; 0 if there is none. */
  silentMs(now: number): number {
    const count = Atomics.load(this.#count, 0);
    if (count !== this.#seen) {
      this.#seen = count;
      this.#seenAt = now;
    }
    return count % 2 === 0 ? 0 : now - this.#seenAt;
  }
}
