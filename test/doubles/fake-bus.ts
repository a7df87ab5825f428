import type { Bus, Hint } from '../../packages/server/src/domain/ports/bus.ts';

/** Stores published hints, and can lose them. */
export class FakeBus implements Bus {
  readonly published: Hint[] = [];
  /** If set, hints get lost. */
  isDeaf = false;
  readonly #listeners = new Set<(hint: Hint) => void>();

  get subscriptions(): number {
    return this.#listeners.size;
  }

  publish(hint: Hint): void {
    this.published.push(hint);
    if (this.isDeaf) return;
    for (const listener of this.#listeners) listener(hint);
  }

  subscribe(listener: (hint: Hint) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async ping(): Promise<void> {}
}
