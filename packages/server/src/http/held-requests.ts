import { BackhaulError } from '@backhaul/protocol';

export interface HeldRequestLimits {
  /** For all tokens; 0 is no limit. */
  readonly heldRequests: number;
  /** For the tokens of one subject; 0 is no limit. */
  readonly heldRequestsPerToken: number;
}

export type HeldRequestRefusal = 'held_per_token' | 'held_total';

/** Counts long-running requests: event streams, waiting triggers, commands and diagnoses. */
export class HeldRequests {
  readonly #limits: HeldRequestLimits;
  readonly #onRefused: (limit: HeldRequestRefusal) => void;
  readonly #bySubject = new Map<string, number>();
  #total = 0;

  constructor(limits: HeldRequestLimits, onRefused: (limit: HeldRequestRefusal) => void) {
    this.#limits = limits;
    this.#onRefused = onRefused;
  }

  get size(): number {
    return this.#total;
  }

  /**
   * Counts a request until the returned object is disposed.
   *
   * @throws BackhaulError `too_many_requests`
   */
  hold(subject: string): Disposable {
    const held = this.tryHold(subject);
    if (held !== undefined) return held;
    if (this.#limitReached(subject) === 'held_per_token') {
      const own = this.#bySubject.get(subject);
      throw new BackhaulError(
        'too_many_requests',
        `Tokens of the subject "${subject}" already have ${own} event streams and waiting requests open. Close some, or raise the server's setting MAX_HELD_REQUESTS_PER_TOKEN.`,
      );
    }
    throw new BackhaulError(
      'too_many_requests',
      `The server already has ${this.#total} event streams and waiting requests open. Try again later, or raise its setting MAX_HELD_REQUESTS.`,
    );
  }

  /** @returns undefined where {@link hold} would throw. */
  tryHold(subject: string): Disposable | undefined {
    const reached = this.#limitReached(subject);
    if (reached !== undefined) {
      this.#onRefused(reached);
      return undefined;
    }
    this.#bySubject.set(subject, (this.#bySubject.get(subject) ?? 0) + 1);
    this.#total += 1;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#release(subject);
      },
    };
  }

  #limitReached(subject: string): HeldRequestRefusal | undefined {
    const { heldRequests, heldRequestsPerToken } = this.#limits;
    const own = this.#bySubject.get(subject) ?? 0;
    if (heldRequestsPerToken > 0 && own >= heldRequestsPerToken) return 'held_per_token';
    return heldRequests > 0 && this.#total >= heldRequests ? 'held_total' : undefined;
  }

  #release(subject: string): void {
    const own = (this.#bySubject.get(subject) ?? 1) - 1;
    if (own === 0) this.#bySubject.delete(subject);
    else this.#bySubject.set(subject, own);
    this.#total -= 1;
  }
}
