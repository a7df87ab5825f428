import { abortable } from './abortable.ts';

/** Wakes all waiters when something has changed; each waiter checks what it was. */
export class Wakeup {
  #next = Promise.withResolvers<void>();

  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** @throws The signal's reason once it is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    await abortable(this.#next.promise, signal);
  }
}
