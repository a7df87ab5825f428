/** A hint that something may have changed. What is true stands in the store. */
export interface Hint {
  readonly uploadId: string;
  readonly clientId: string;
  readonly version: number;
}

/**
 * Carries hints between the parts of a server, and later between nodes. A lost hint delays, it never loses:
 * every subscriber also reads the store on its own time.
 */
export interface Bus {
  publish(hint: Hint): void;
  /** @returns a function that ends the subscription. */
  subscribe(listener: (hint: Hint) => void): () => void;
  /** @throws Error while hints cannot be carried. */
  ping(): Promise<void>;
}
