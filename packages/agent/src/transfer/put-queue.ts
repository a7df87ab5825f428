import type { PutSlot, PartParallelism } from './part-parallelism.ts';

/** Slots can also become free without an event: a part becomes overdue, or its upload holds it back. */
const CHECK_MS = 1000;

interface Waiting {
  readonly bytes: number;
  readonly admitted: (slot: PutSlot) => void;
}

/** FIFO queue for the PUTs of all transfers, limited by `PartParallelism`. */
export class PutQueue {
  readonly #parallelism: Pick<PartParallelism, 'admit' | 'ended'>;
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(parallelism: Pick<PartParallelism, 'admit' | 'ended'>) {
    this.#parallelism = parallelism;
  }

  /** @throws The signal's reason if it is aborted while the PUT waits. */
  async run<Result>(
    bytes: number,
    put: (slot: PutSlot) => Promise<Result>,
    { signal }: { signal: AbortSignal },
  ): Promise<Result> {
    const slot = await this.#acquire(bytes, signal);
    try {
      return await put(slot);
    } finally {
      this.#parallelism.ended(slot);
      this.#admit();
    }
  }

  async #acquire(bytes: number, signal: AbortSignal): Promise<PutSlot> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<PutSlot>();
    const waiting = { bytes, admitted: turn.resolve };
    const leave = () => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return; // Already admitted.
      this.#waiting.splice(at, 1);
      turn.reject(signal.reason);
      // A smaller one behind it may fit.
      this.#admit();
    };
    this.#waiting.push(waiting);
    signal.addEventListener('abort', leave, { once: true });
    this.#admit();
    try {
      return await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const slot = this.#parallelism.admit(next.bytes);
      if (slot === null) break;
      this.#waiting.shift();
      next.admitted(slot);
    }
    if (this.#waiting.length > 0) {
      this.#timer ??= setInterval(() => this.#admit(), CHECK_MS);
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}
