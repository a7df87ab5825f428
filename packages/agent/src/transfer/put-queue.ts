import { WaitQueue } from '../semaphore.ts';
import type { PartParallelism, PutSlot } from './part-parallelism.ts';

/** Slots can also become free without an event: a part becomes overdue, or its upload holds it back. */
const CHECK_MS = 1000;

/** FIFO queue for the PUTs of all transfers, limited by `PartParallelism`. */
export class PutQueue {
  readonly #parallelism: Pick<PartParallelism, 'admit' | 'ended'>;
  readonly #queue = new WaitQueue<number, PutSlot>();
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
    const turn = this.#queue.wait(bytes, { signal });
    this.#admit();
    try {
      return await turn;
    } catch (error) {
      // A smaller one behind it may fit.
      this.#admit();
      throw error;
    }
  }

  #admit(): void {
    this.#queue.offer((bytes) => this.#parallelism.admit(bytes), { overtake: false });
    if (this.#queue.isEmpty) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else {
      this.#timer ??= setInterval(() => this.#admit(), CHECK_MS);
    }
  }
}
