/** A hint that something may have changed; the store has the actual state. */
export interface Hint {
  readonly uploadId: string;
  readonly clientId: string;
  readonly version: number;
}

/**
 * Carries hints between components of a server, and later between nodes. A lost hint only delays: every subscriber
 * also polls the store.
 */
export interface Bus {
  publish(hint: Hint): void;
  /** @returns a function that ends the subscription. */
  subscribe(listener: (hint: Hint) => void): () => void;
  /** @throws Error while hints cannot be delivered. */
  ping(): Promise<void>;
}
