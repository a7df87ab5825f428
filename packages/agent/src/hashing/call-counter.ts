/**
 * Counts one file's calls in a thread that waits for them itself, so that another thread sees when one does not come
 * back: the count is odd while a call is under way.
 */
export class CallCounter {
  /** To be handed to the other thread. */
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

  /** For how long the present call has been seen under way, in ms; 0 if there is none. */
  silentMs(now: number): number {
    const count = Atomics.load(this.#count, 0);
    if (count !== this.#seen) {
      this.#seen = count;
      this.#seenAt = now;
    }
    return count % 2 === 0 ? 0 : now - this.#seenAt;
  }
}
