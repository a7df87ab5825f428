import type { Bus, Hint } from '../domain/ports/bus.ts';

/** Carries hints within one process. */
export class LocalBus implements Bus {
  readonly #listeners = new Set<(hint: Hint) => void>();

  publish({ uploadId, clientId, version }: Hint): void {
    const hint: Hint = { uploadId, clientId, version };
    for (const listener of this.#listeners) listener(hint);
  }

  subscribe(listener: (hint: Hint) => void): () => void {
    // Wrapped, so that subscribing the same function twice gives two subscriptions.
    const entry = (hint: Hint): void => listener(hint);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  async ping(): Promise<void> {}
}
